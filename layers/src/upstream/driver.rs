//! The futures that a program spawns, and the one that checks upstreams.

use super::{check::Check, error::is_blameless, panic::catch, service::connect, shared::Shared};
use futures_util::stream::{FuturesUnordered, StreamExt};
use reagent::{BoxError, ErrorChain};
use std::{
    collections::HashMap,
    fmt,
    future::{Future, pending},
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tower_service::Service;

/// Work of a set between connections: see [`Upstreams::check`](super::Upstreams::check) and
/// [`Upstreams::follow`](super::Upstreams::follow).
#[must_use = "futures do nothing unless they are spawned or polled"]
pub struct Driver(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Driver {
    pub(super) fn of(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Driver(Box::pin(work))
    }

    pub(super) fn new<T, C>(shared: &Arc<Shared<T>>, check: Check, connector: C) -> Self
    where
        T: Clone + Send + Sync + 'static,
        C: Service<T> + Clone + Send + 'static,
        C::Response: AsyncRead + AsyncWrite + Unpin + Send,
        C::Error: Into<BoxError>,
        C::Future: Send,
    {
        let work = Work {
            changed: shared.changed.subscribe(),
            shared: Arc::downgrade(shared),
            check,
            connector,
            due: HashMap::new(),
        };
        Driver::of(work.run())
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

struct Work<T, C> {
    shared: Weak<Shared<T>>,
    changed: watch::Receiver<()>,
    check: Check,
    connector: C,
    /// When each upstream is checked next, or `None` while it is being checked.
    due: HashMap<u64, Option<Instant>>,
}

impl<T, C> Work<T, C>
where
    T: Clone + Send + Sync + 'static,
    C: Service<T> + Clone + Send + 'static,
    C::Response: AsyncRead + AsyncWrite + Unpin + Send,
    C::Error: Into<BoxError>,
    C::Future: Send,
{
    async fn run(mut self) {
        let mut checks = FuturesUnordered::new();
        loop {
            let Some(shared) = self.shared.upgrade() else {
                return;
            };
            for (number, target) in self.targets_that_are_due(&shared) {
                let (connector, check) = (self.connector.clone(), self.check.clone());
                checks.push(async move {
                    let target = T::clone(&target);
                    (number, catch(pass(connector, target, &check)).await)
                });
            }
            // Not held while waiting, since its drop ends the driver.
            drop(shared);
            let next = self.due.values().flatten().min().copied();
            let next = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                Some((number, passed)) = checks.next() => self.record(number, passed),
                () = next => {}
                changed = self.changed.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Returns the upstreams to check now, and forgets those that have left.
    fn targets_that_are_due(&mut self, shared: &Shared<T>) -> Vec<(u64, Arc<T>)> {
        let now = Instant::now();
        let present: HashMap<u64, Arc<T>> = shared.with(|set, _| set.targets());
        self.due.retain(|number, _| present.contains_key(number));
        let mut targets = Vec::new();
        for (number, target) in present {
            // One that is new is due at once.
            let due = self.due.entry(number).or_insert(Some(now));
            if due.is_some_and(|due| due <= now) {
                *due = None;
                targets.push((number, target));
            }
        }
        targets
    }

    /// Records a check, which may have panicked.
    fn record(&mut self, number: u64, passed: Result<Result<(), BoxError>, String>) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        if let Some(due) = self.due.get_mut(&number) {
            let factor = 0.75 + fastrand::f64() / 2.0;
            *due = Some(Instant::now() + self.check.interval.mul_f64(factor));
        }
        let passed = passed.unwrap_or_else(|panic| {
            let name = shared.with(|set, _| Some(set.member(number)?.upstream.name.clone()));
            if let Some(name) = name {
                shared.panicked(&format!("the check of {name} {panic}"));
            }
            Err(panic.into())
        });
        // What this machine lacks says nothing about the upstream.
        if passed.as_ref().is_err_and(|error| is_blameless(&**error)) {
            return;
        }
        let error = passed.err().map(|error| ErrorChain(&*error).to_string());
        let Check { rise, fall, .. } = self.check;
        shared.with(|set, now| {
            if let Some(member) = set.member(number) {
                member.health.checked(error.is_none(), rise, fall, now);
                if let Some(error) = error {
                    member.last_error = Some(format!("check failed: {error}").into());
                }
            }
        });
    }
}

/// Checks one upstream.
async fn pass<T, C>(connector: C, target: T, check: &Check) -> Result<(), BoxError>
where
    C: Service<T>,
    C::Response: AsyncRead + AsyncWrite + Unpin,
    C::Error: Into<BoxError>,
{
    let limit: Duration = check.timeout;
    let passing = async {
        let stream = connect(connector, target).await.map_err(Into::into)?;
        check.exchange(stream).await
    };
    match timeout(limit, passing).await {
        Ok(passed) => passed,
        Err(_) => Err(format!("no answer within {limit:?}").into()),
    }
}
