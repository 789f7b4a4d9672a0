//! The future that obtains and renews certificates.

use super::{
    AcmeError, DomainStatus,
    certificate::Certificate,
    handle::Alive,
    order::{Orders, blocking},
    schedule::{Backoff, LONGEST_SLEEP, OrderLimit, Schedule, renewal, suggested},
};
use std::{
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, sleep_until, timeout};

/// The time limit for an attempt.
const ATTEMPT: Duration = Duration::from_secs(10 * 60);

/// The pause while another process orders certificates for the same folder.
const BUSY: Duration = Duration::from_secs(5);

/// The bounds of the time after which the directory is asked for suggestions again.
const ASK: (Duration, Duration) = (
    Duration::from_secs(60 * 60),
    Duration::from_secs(24 * 60 * 60),
);

/// The work of an [`Acme`](super::Acme): orders and renewals.
///
/// Spawn it on the runtime, once. It ends when all handles and layers are gone. Drop it to stop the
/// renewals: the certificates that are there remain in use.
#[must_use = "futures do nothing unless they are spawned or polled"]
pub struct Driver(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Driver {
    pub(super) fn new(orders: Orders, settings: Settings, alive: Weak<Alive>) -> Self {
        let mut work = Work {
            orders,
            limit: OrderLimit::new(settings.orders_per_hour),
            backoff: settings.backoff,
            alive,
            schedules: HashMap::new(),
        };
        work.update();
        Driver(Box::pin(work.run()))
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Driver")
    }
}

pub(super) struct Settings {
    pub(super) backoff: Backoff,
    pub(super) orders_per_hour: u32,
}

struct Work {
    orders: Orders,
    limit: OrderLimit,
    backoff: Backoff,
    alive: Weak<Alive>,
    /// By domain.
    schedules: HashMap<String, Schedule>,
}

/// What became of an attempt.
enum Attempt {
    /// There is a new certificate. It may not have been saved.
    Renewed(Certificate, Option<AcmeError>),
    /// It cannot begin until then.
    Later(Instant),
}

impl Work {
    async fn run(mut self) {
        let shared = self.orders.shared.clone();
        loop {
            self.update();
            if self.alive.strong_count() == 0 {
                return;
            }
            let now = Instant::now();
            let orders = self.schedules.iter();
            let next = orders.map(|(domain, it)| (it.order_at(now), domain));
            let order = next.min().map(|(at, domain)| (at, domain.clone()));
            let asks = self.schedules.iter();
            let asks = asks.filter_map(|(domain, it)| Some((it.ask_at?, domain)));
            let ask = asks.min().map(|(at, domain)| (at, domain.clone()));
            match (order, ask) {
                (Some((at, domain)), _) if at <= now => self.order(&domain).await,
                (_, Some((at, domain))) if at <= now => self.ask(&domain).await,
                (order, ask) => {
                    let times = order.into_iter().chain(ask).map(|(at, _)| at);
                    let at = times.chain([now + LONGEST_SLEEP]).min();
                    tokio::select! {
                        () = sleep_until(at.unwrap_or(now)) => {}
                        () = shared.changed.notified() => {}
                    }
                }
            }
        }
    }

    /// Adds the schedules of new domains, removes those of others, and publishes the status.
    fn update(&mut self) {
        let table = self.orders.shared.table();
        self.schedules
            .retain(|domain, _| table.domains.contains(domain));
        let status = table.domains.iter().map(|domain| {
            let certificate = table.certificates.get(domain);
            let schedule = self.schedules.entry(domain.clone());
            let schedule = schedule.or_insert_with(|| Schedule {
                renew_at: certificate.map(renewal),
                ask_at: certificate.map(|_| Instant::now()),
                ..Schedule::default()
            });
            DomainStatus {
                domain: domain.clone(),
                not_after: certificate.map(|certificate| certificate.not_after),
                renew_at: schedule.renew_at,
                failures: schedule.failures,
                last_error: schedule.error.clone(),
            }
        });
        let status: Vec<DomainStatus> = status.collect();
        self.orders.shared.status.send_if_modified(|old| {
            let is_same =
                old.len() == status.len() && old.iter().zip(&status).all(|(old, new)| old.is(new));
            *old = status;
            !is_same
        });
    }

    async fn order(&mut self, domain: &str) {
        let attempt = timeout(ATTEMPT, self.attempt(domain)).await;
        let attempt = attempt.unwrap_or(Err(AcmeError::TimedOut { limit: ATTEMPT }));
        let wait = self.orders.client.take_wait();
        let Some(schedule) = self.schedules.get_mut(domain) else {
            return;
        };
        match attempt {
            Ok(Attempt::Renewed(certificate, error)) => {
                self.orders.shared.set_certificate(domain, &certificate);
                *schedule = Schedule {
                    renew_at: Some(renewal(&certificate)),
                    ask_at: Some(Instant::now() + ASK.0),
                    failures: u32::from(error.is_some()),
                    error: error.map(Arc::new),
                    retry_at: None,
                };
            }
            Ok(Attempt::Later(at)) => schedule.retry_at = Some(at),
            Err(error) => {
                schedule.failures = schedule.failures.saturating_add(1);
                schedule.error = Some(Arc::new(error));
                let pause = self.backoff.pause(schedule.failures);
                schedule.retry_at = Some(Instant::now() + pause.max(wait.unwrap_or_default()));
            }
        }
    }

    async fn attempt(&mut self, domain: &str) -> Result<Attempt, AcmeError> {
        let state = self.orders.state.clone();
        let Some(lock) = blocking(move || state.lock()).await? else {
            return Ok(Attempt::Later(Instant::now() + BUSY));
        };
        let lock = Arc::new(lock);
        let table = self.orders.shared.table();
        let known = table.certificates.get(domain);
        // Another process may have renewed it.
        let (state, name) = (self.orders.state.clone(), domain.to_owned());
        let kept = blocking(move || state.certificate(&name)).await?;
        if let Some(kept) = kept {
            let is_new = known.is_none_or(|known| !kept.is(known));
            if is_new && renewal(&kept) > SystemTime::now() {
                return Ok(Attempt::Renewed(kept, None));
            }
        }
        if let Err(until) = self.limit.begin(Instant::now()) {
            return Ok(Attempt::Later(until));
        }
        // Before anything is ordered that could not be kept.
        let (state, held) = (self.orders.state.clone(), lock.clone());
        blocking(move || state.check(&held)).await?;
        let issued = self.orders.obtain(&lock, domain, known).await?;
        let (state, name, saved) = (self.orders.state.clone(), domain.to_owned(), issued.clone());
        let saved = blocking(move || state.save_certificate(&lock, &name, &saved)).await;
        Ok(Attempt::Renewed(issued, saved.err()))
    }

    /// Asks when to renew a certificate.
    async fn ask(&mut self, domain: &str) {
        let table = self.orders.shared.table();
        let Some(certificate) = table.certificates.get(domain) else {
            return;
        };
        let suggestion = timeout(ATTEMPT, self.orders.suggestion(certificate)).await;
        let Some(schedule) = self.schedules.get_mut(domain) else {
            return;
        };
        // Without a suggestion, what was planned remains.
        let again = match suggestion {
            Ok(Ok((window, again))) => {
                let is_planned = schedule.renew_at.is_some_and(|at| window.contains(&at));
                if !is_planned {
                    schedule.renew_at = Some(suggested(certificate, window));
                }
                again
            }
            _ => ASK.1,
        };
        schedule.ask_at = Some(Instant::now() + again.clamp(ASK.0, ASK.1));
    }
}
