//! The accept loop.

use super::{Acceptor, Backoff, exhaustion::Exhausted};
use crate::{
    BoxError, ConnectionService, ErrorClass, Spawn, Start,
    listener::Sources,
    panic::poll_catching,
    pool::{Control, Stage},
    server::Shared,
};
use std::{
    future::{Future, poll_fn},
    io,
    ops::ControlFlow,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};
use tower_service::Service;

/// Makes the service of an acceptor.
pub(crate) type Maker<S> = Arc<
    dyn Fn(Acceptor) -> Pin<Box<dyn Future<Output = Result<S, BoxError>> + Send>> + Send + Sync,
>;

/// The last clients taken from a queue that is about to be closed; it holds no more by default.
const SWEEP_AT_MOST: usize = 4096;

/// What comes after a service.
enum Next {
    /// Nothing: the acceptor is to stop.
    Stop,
    /// Another, at once: this one panicked over a connection, and what is left of it is not to be trusted.
    Renew,
}

/// An acceptor at work.
///
/// // ## Making => Accepting => (Making | Stopped)
pub(crate) struct AcceptLoop<S, X> {
    pub(super) acceptor: Acceptor,
    pub(super) group: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) control: watch::Receiver<Control>,
    pub(super) make: Maker<S>,
    /// Gives back what the service reserved for a client that is not there.
    pub(super) release: fn(&mut S),
    pub(super) spawn: X,
    pub(super) sources: Sources,
    /// The source to try again without waiting for a client.
    pub(super) retry: Option<usize>,
    pub(super) connection_errors: u32,
    pub(super) backoff: Backoff,
    pub(super) exhausted: Option<Exhausted>,
}

impl<S: ConnectionService, X: Spawn> AcceptLoop<S, X> {
    pub(crate) fn new(
        shared: Arc<Shared>,
        group: usize,
        index: usize,
        make: Maker<S>,
        release: fn(&mut S),
        spawn: X,
    ) -> Self {
        AcceptLoop {
            acceptor: Acceptor {
                index,
                local_addr: shared.groups[group].addr().clone(),
            },
            group,
            control: shared.control.subscribe(),
            shared,
            make,
            release,
            spawn,
            sources: Sources::default(),
            retry: None,
            connection_errors: 0,
            backoff: Backoff::default(),
            exhausted: None,
        }
    }

    /// Accepts until it is told to stop. `made` is told how making the first service went; if it failed,
    /// there is no second try.
    pub(crate) async fn run(mut self, made: Option<oneshot::Sender<Result<(), BoxError>>>) {
        let mut made = made;
        let mut failures = Backoff::default();
        // Nobody has looked at the control yet.
        self.control.mark_changed();
        loop {
            let result = match self.make().await {
                Ok(service) => {
                    // Counted before the start of the server is over.
                    let running = Running::new(&self);
                    if let Some(made) = made.take() {
                        let _ = made.send(Ok(()));
                    }
                    self.serve(service, running, &mut failures).await
                }
                Err(error) => Err(error),
            };
            let error = match result {
                Ok(Next::Stop) => return,
                // What one client brought about must not keep the others waiting.
                Ok(Next::Renew) => continue,
                Err(error) => error,
            };
            if let Some(made) = made.take() {
                let _ = made.send(Err(error));
                return;
            }
            let delay = failures.next_delay();
            self.shared
                .observe(|observer| observer.acceptor_failed(&self.acceptor, &error, delay));
            if self.wait_out(delay).await.is_break() {
                return;
            }
        }
    }

    async fn make(&mut self) -> Result<S, BoxError> {
        catching(|| (self.make)(self.acceptor.clone())).await
    }

    /// Accepts with this service until it fails or the acceptor is told to stop.
    async fn serve(
        &mut self,
        service: S,
        running: Running,
        failures: &mut Backoff,
    ) -> Result<Next, BoxError> {
        let mut start = Start::new(service, self.spawn.clone());
        let result = catching(|| async { self.accept_loop(&mut start, failures).await }).await;
        drop(running);
        result
    }

    async fn accept_loop(
        &mut self,
        start: &mut Start<S, X>,
        failures: &mut Backoff,
    ) -> Result<Next, BoxError> {
        loop {
            if self.control.has_changed().unwrap_or(true)
                && self.follow_control(start).await.is_break()
            {
                return Ok(Next::Stop);
            }
            // 1. A client waits. Until then nothing is taken that another acceptor could use.
            let index = match self.retry.take() {
                Some(index) => index,
                None => {
                    let ready = poll_fn(|cx| self.sources.poll_ready(cx));
                    match or_control(&mut self.control, ready).await {
                        Some((index, Ok(()))) => index,
                        Some((index, Err(error))) => {
                            self.accept_failed(index, error).await;
                            continue;
                        }
                        None => continue,
                    }
                }
            };
            // 2. The server and the stack can take one.
            let permit = match self.shared.limit.try_acquire() {
                Some(permit) => permit,
                None => {
                    let since = Instant::now();
                    self.shared
                        .observe(|observer| observer.limit_reached(&self.acceptor));
                    let Some(permit) =
                        or_control(&mut self.control, self.shared.limit.acquire()).await
                    else {
                        self.retry = Some(index);
                        continue;
                    };
                    self.shared.observe(|observer| {
                        observer.limit_waited(&self.acceptor, since.elapsed());
                    });
                    permit
                }
            };
            match or_control(&mut self.control, poll_fn(|cx| start.poll_ready(cx))).await {
                Some(ready) => {
                    ready?;
                    // An acceptor whose clients others take is none that fails again and again.
                    failures.reset();
                }
                None => {
                    (self.release)(&mut start.service);
                    self.retry = Some(index);
                    continue;
                }
            }
            // Who was told that the server pauses may count on it.
            if self.control.has_changed().unwrap_or(true) {
                (self.release)(&mut start.service);
                continue;
            }
            // 3. It is taken, or what was taken for it is given back.
            let Some(source) = self.sources.list.get_mut(index) else {
                continue;
            };
            match source.listener.try_accept() {
                Ok((transport, peer)) => {
                    self.recovered();
                    let conn = self.shared.register(self.group, transport, peer, permit);
                    if start.call(conn).into_inner().is_err() {
                        return Ok(Next::Renew);
                    }
                }
                Err(error) => {
                    drop(permit);
                    (self.release)(&mut start.service);
                    if error.kind() != io::ErrorKind::WouldBlock {
                        self.accept_failed(index, error).await;
                    } else if let Some(error) = self.still_exhausted() {
                        self.accept_failed(index, error).await;
                    } else {
                        self.recovered();
                    }
                }
            }
        }
    }

    /// Does what the control say, and waits while they say to; breaks where this acceptor is to stop.
    async fn follow_control(&mut self, start: &mut Start<S, X>) -> ControlFlow<()> {
        loop {
            let control = self.control.borrow_and_update().clone();
            if !matches!(
                control.stage,
                Stage::Running | Stage::Draining { sweep: true, .. }
            ) || self.acceptor.index >= control.acceptors()
            {
                return ControlFlow::Break(());
            }
            let group = &self.shared.groups[self.group];
            let assigned =
                group.assign(self.acceptor.index, control.acceptors(), &mut self.sources);
            if matches!(control.stage, Stage::Draining { .. }) {
                self.sweep(start);
                return ControlFlow::Break(());
            }
            self.retry = None;
            if control.is_paused() {
                let _ = self.control.changed().await;
                continue;
            }
            match assigned {
                Ok(()) => return ControlFlow::Continue(()),
                Err(error) => self.exhausted(&error, ErrorClass::Exhaustion).await,
            }
        }
    }

    /// Takes the clients that are in the queue already, as far as the limits allow without waiting: a
    /// server that drains serves them rather than have the kernel reset them.
    fn sweep(&mut self, start: &mut Start<S, X>) {
        let mut cx = Context::from_waker(Waker::noop());
        for source in &mut self.sources.list {
            // The runtime may not have heard yet of who came; a handle it does not know asks the kernel.
            if let Ok(fresh) = source.listener.try_clone() {
                source.listener = fresh;
            }
            for _ in 0..SWEEP_AT_MOST {
                let Some(permit) = self.shared.limit.try_acquire() else {
                    return;
                };
                let Poll::Ready(Ok(())) = start.poll_ready(&mut cx) else {
                    return;
                };
                match source.listener.try_accept() {
                    Ok((transport, peer)) => {
                        let conn = self.shared.register(self.group, transport, peer, permit);
                        // A panic has ended that connection and is no reason to leave the rest.
                        drop(start.call(conn));
                    }
                    Err(error) if ErrorClass::classify(&error) == ErrorClass::Connection => {}
                    Err(_) => break,
                }
            }
        }
    }
}

/// Waits for `future`, but no longer than until there are new control.
pub(super) async fn or_control<T>(
    control: &mut watch::Receiver<Control>,
    future: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        output = future => Some(output),
        _ = control.changed() => {
            // They are seen, but not yet followed.
            control.mark_changed();
            None
        }
    }
}

/// Makes and runs a future whose panic is an error.
async fn catching<T, F>(future: impl FnOnce() -> F) -> Result<T, BoxError>
where
    F: Future<Output = Result<T, BoxError>>,
{
    let mut future = pin!(crate::panic::catch(future)?);
    poll_fn(|cx| match poll_catching(future.as_mut(), cx) {
        Ok(polled) => polled,
        Err(panic) => Poll::Ready(Err(panic.into())),
    })
    .await
}

/// Says that the acceptor accepts, as long as it lives.
struct Running {
    shared: Arc<Shared>,
    acceptor: Acceptor,
}

impl Running {
    fn new<S, X>(run: &AcceptLoop<S, X>) -> Self {
        let running = Running {
            shared: run.shared.clone(),
            acceptor: run.acceptor.clone(),
        };
        running.shared.counters.acceptor_started();
        running
            .shared
            .observe(|observer| observer.acceptor_started(&running.acceptor));
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.counters.acceptor_stopped();
        self.shared
            .observe(|observer| observer.acceptor_stopped(&self.acceptor));
    }
}
