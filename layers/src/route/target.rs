//! Serves one connection with a clone of a route's service.

use pin_project_lite::pin_project;
use reagent::{BoxError, Connection, ConnectionService, IoStream, TimedOut};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Sleep;
use tower_service::Service;

/// The kind of [`TimedOut`] when the service of a route was not ready in time.
pub const TIMEOUT: &str = "route";

pub(super) type Serving = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// A service with its type erased.
pub(super) trait Target<Io>: Send + Sync {
    /// Waits up to `limit` for a clone of the service to become ready, and calls it.
    fn serve(&self, conn: Connection<Io>, limit: Option<Duration>) -> Serving;
}

impl<S, Io> Target<Io> for S
where
    S: ConnectionService<Io> + Clone + Sync,
    Io: IoStream,
{
    fn serve(&self, conn: Connection<Io>, limit: Option<Duration>) -> Serving {
        Box::pin(Serve::Waiting {
            service: self.clone(),
            conn: Some(conn),
            limit,
            timer: None,
        })
    }
}

pin_project! {
    // One box for both states: the clone, and then the handler's future in its place.
    // ## Waiting => Serving
    #[project = ServeProj]
    enum Serve<S, Io>
    where
        S: Service<Connection<Io>>,
    {
        Waiting {
            service: S,
            conn: Option<Connection<Io>>,
            limit: Option<Duration>,
            timer: Option<Pin<Box<Sleep>>>,
        },
        Serving {
            #[pin]
            serving: S::Future,
        },
    }
}

impl<S, Io> Future for Serve<S, Io>
where
    S: ConnectionService<Io>,
{
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.as_mut().project() {
                ServeProj::Waiting {
                    service,
                    conn,
                    limit,
                    timer,
                } => {
                    if let Poll::Ready(ready) = service.poll_ready(cx) {
                        ready.map_err(Into::into)?;
                        let Some(conn) = conn.take() else {
                            // The service panicked in an earlier poll.
                            return Poll::Pending;
                        };
                        let serving = service.call(conn);
                        self.set(Serve::Serving { serving });
                        continue;
                    }
                    // Most services are ready at once and need no timer.
                    let Some(limit) = *limit else {
                        return Poll::Pending;
                    };
                    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
                    ready!(timer.as_mut().poll(cx));
                    return Poll::Ready(Err(TimedOut::new(TIMEOUT).into()));
                }
                ServeProj::Serving { serving } => {
                    ready!(serving.poll(cx)).map_err(Into::into)?;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}
