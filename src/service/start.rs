//! `start`: spawns what `handle` returns.

use crate::{
    BoxError,
    connection::{Connection, ConnectionHandle, OpenGuard, Phase},
    outcome::{Disconnect, Outcome},
    panic::{Panic, catch, poll_catching},
    service::ConnectionService,
};
use pin_project_lite::pin_project;
use std::{
    future::{Future, Ready, ready},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// Runs the futures of connections; what [`Server::spawn_with`](crate::Server::spawn_with) takes.
pub trait Spawn: Clone + Send + 'static {
    /// Runs `task` to its end. It may not be polled before this returns; dropped unfinished, it aborts
    /// its connection.
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F);
}

/// Spawns on the Tokio runtime of the acceptor.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioSpawn;

impl Spawn for TokioSpawn {
    #[inline]
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where connections are spawned"
        )]
        drop(tokio::spawn(task));
    }
}

/// Tokio moves a future five times between `spawn` and its end. From this size on (in bytes) that
/// costs more than a box, by the instructions of `examples/bench_echo.rs`.
const BOXED_ABOVE: usize = 160;

/// Spawns what a service returns for a connection, and answers with the connection's handle; reagent's
/// `start/1`, and what every acceptor drives.
#[derive(Clone, Debug)]
pub struct Start<S, X = TokioSpawn> {
    pub(crate) service: S,
    pub(crate) spawn: X,
}

impl<S, X> Start<S, X> {
    /// Spawns the futures of `service` by `spawn`.
    pub fn new(service: S, spawn: X) -> Self {
        Start { service, spawn }
    }
}

impl<S: ConnectionService, X: Spawn> Service<Connection> for Start<S, X> {
    type Response = ConnectionHandle;
    type Error = BoxError;
    type Future = Ready<Result<ConnectionHandle, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.service.poll_ready(cx).map_err(Into::into)
    }

    /// Fails where the service panics; the connection is closed then.
    fn call(&mut self, conn: Connection) -> Self::Future {
        let handle = conn.handle();
        ready(self.serve(conn).map(|()| handle))
    }
}

impl<S: ConnectionService, X: Spawn> Start<S, X> {
    /// Does what `call` does, for an acceptor, which has no use for the handle.
    pub(crate) fn serve(&mut self, conn: Connection) -> Result<(), BoxError> {
        // Its last part, if the service panics.
        let guard = conn.guard();
        if size_of::<S::Future>() > BOXED_ABOVE {
            match catch(|| Box::pin(self.service.call(conn))) {
                Ok(future) => self.spawn(future, guard),
                Err(panic) => Err(fail(&guard, panic)),
            }
        } else {
            match catch(|| self.service.call(conn)) {
                Ok(future) => self.spawn(future, guard),
                Err(panic) => Err(fail(&guard, panic)),
            }
        }
    }
}

impl<S, X: Spawn> Start<S, X> {
    fn spawn<F, T, E>(&self, future: F, guard: OpenGuard) -> Result<(), BoxError>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: 'static,
        E: Into<BoxError> + 'static,
    {
        let task = ConnectionTask { future, guard };
        catch(|| self.spawn.spawn(task)).map_err(Into::into)
    }
}

/// Records the panic of a service as the end of its connection, and returns it as an error.
fn fail(guard: &OpenGuard, panic: Panic) -> BoxError {
    guard.entry().detach(Some(Outcome::from_panic(&panic)));
    panic.into()
}

pin_project! {
    /// A handler's future as it is, between an outcome and an abort.
    struct ConnectionTask<F> {
        #[pin]
        future: F,
        // Goes after the future, which may hold the stream, and only once the outcome is said.
        guard: OpenGuard,
    }

    impl<F> PinnedDrop for ConnectionTask<F> {
        fn drop(this: Pin<&mut Self>) {
            if this.guard.entry().phase() != Phase::Detached {
                this.guard.entry().detach(None);
            }
        }
    }
}

impl<F, T, E> Future for ConnectionTask<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError> + 'static,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let entry = this.guard.entry();
        entry.register_task(cx.waker());
        let outcome = if entry.is_aborted() {
            Outcome::Aborted
        } else {
            match poll_catching(this.future, cx) {
                Ok(polled) => match ready!(polled) {
                    Ok(_) if entry.is_input_in_doubt() => {
                        Outcome::Disconnected(Disconnect::Truncated)
                    }
                    Ok(_) if this.guard.handle().is_draining() => Outcome::Drained,
                    Ok(_) => Outcome::Completed,
                    Err(error) => Outcome::from_error(error, |how| entry.has_client_gone(how)),
                },
                Err(panic) => Outcome::from_panic(&panic),
            }
        };
        entry.detach(Some(outcome));
        Poll::Ready(())
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    #[test]
    fn a_task_adds_little_to_its_future() {
        assert!(size_of::<ConnectionTask<Pin<Box<()>>>>() <= 16);
    }
}
