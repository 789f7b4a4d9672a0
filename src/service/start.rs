//! `Start`: spawns the futures that a service of connections returns.

use crate::{
    BoxError,
    connection::{Connection, ConnectionHandle, OpenGuard, Phase, flag},
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

/// A way to run the futures of connections, for [`Server::spawn_with`](crate::Server::spawn_with).
///
/// # Example
///
/// A server whose connections run on another runtime than its acceptors:
///
/// ```
/// use reagent::{Connection, Server, Spawn};
/// use std::future::Future;
/// use tokio::{
///     io::{AsyncReadExt, AsyncWriteExt},
///     net::TcpStream,
///     runtime::{Builder, Handle},
/// };
///
/// #[derive(Clone)]
/// struct OnRuntime(Handle);
///
/// impl Spawn for OnRuntime {
///     fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
///         self.0.spawn(task);
///     }
/// }
///
/// async fn name_thread(mut conn: Connection) -> std::io::Result<()> {
///     let thread = std::thread::current();
///     conn.write_all(thread.name().unwrap_or_default().as_bytes()).await
/// }
///
/// # fn main() -> Result<(), reagent::BoxError> {
/// let runtime = Builder::new_multi_thread()
///     .thread_name("connections")
///     .enable_all()
///     .build()?;
/// let spawn = OnRuntime(runtime.handle().clone());
///
/// # Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let server = Server::bind("127.0.0.1:0")
///     .spawn_with(spawn)
///     .start(reagent::handle(name_thread))
///     .await?;
///
/// let mut client = TcpStream::connect(server.local_addr().to_string()).await?;
/// let mut thread = String::new();
/// client.read_to_string(&mut thread).await?;
/// assert_eq!(thread, "connections");
/// # server.drain(std::time::Duration::from_secs(1)).await;
/// # Ok(())
/// # })
/// # }
/// ```
pub trait Spawn: Clone + Send + 'static {
    /// Runs `task` to completion.
    ///
    /// This runs in the acceptor, so it must not poll the task itself. If the task is dropped
    /// before it has completed, its connection is aborted.
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F);
}

/// Spawns connections on the Tokio runtime that their acceptor runs on.
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

/// Tokio moves a future five times between `spawn` and its end. For futures above this size, in
/// bytes, that costs more than a box, measured in instructions of `examples/bench_echo.rs`.
const BOXED_ABOVE: usize = 160;

/// A service that spawns the future that another service returns for a connection, and responds
/// with the handle of the connection.
///
/// Every acceptor drives one of these.
#[derive(Clone, Debug)]
pub struct Start<S, X = TokioSpawn> {
    pub(crate) service: S,
    pub(crate) spawn: X,
}

impl<S, X> Start<S, X> {
    /// Creates a service that spawns the futures of `service` with `spawn`.
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

    /// Spawns the future that the service returns for `conn`.
    ///
    /// # Errors
    ///
    /// Returns the message of the panic if the service or [`Spawn::spawn`] panics. A connection
    /// whose service panics is closed.
    fn call(&mut self, conn: Connection) -> Self::Future {
        let handle = conn.handle();
        ready(self.serve(conn).map(|()| handle))
    }
}

impl<S: ConnectionService, X: Spawn> Start<S, X> {
    /// Does the same as `call` for an acceptor, which does not need the handle.
    pub(crate) fn serve(&mut self, conn: Connection) -> Result<(), BoxError> {
        // The last part of the connection if the service panics.
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

/// Records the panic of a service as the outcome of its connection, and returns it as an error.
fn fail(guard: &OpenGuard, panic: Panic) -> BoxError {
    guard.entry().detach(Some(Outcome::from_panic(&panic)));
    panic.into()
}

pin_project! {
    /// The future of a handler, which ends with an outcome or by an abort.
    struct ConnectionTask<F> {
        #[pin]
        future: F,
        // Dropped after the future, which may hold the stream, and after the outcome is recorded.
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
                    Ok(_) if entry.has(flag::DRAINING) => Outcome::Drained,
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
