//! The future of a router.

use super::{Routes, target::Serving};
use reagent::{BoxError, Connection, IoStream};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// The future of a [`Router`](super::Router). It chooses a route and serves the connection.
pub struct RouteFuture<Io> {
    state: State<Io>,
}

// ## Choosing => Serving
enum State<Io> {
    /// Conditions are user code, so they run here and not in the acceptor.
    Choosing(Option<(Arc<Routes<Io>>, Connection<Io>)>),
    Serving(Serving),
}

impl<Io> RouteFuture<Io> {
    pub(super) fn new(routes: Arc<Routes<Io>>, conn: Connection<Io>) -> Self {
        RouteFuture {
            state: State::Choosing(Some((routes, conn))),
        }
    }
}

impl<Io: IoStream> Routes<Io> {
    fn serve(&self, conn: Connection<Io>) -> Serving {
        if let Some(target) = self.choose(&conn) {
            return target.serve(conn, self.timeout);
        }
        let refusal = self.refusal.clone();
        Box::pin(async move { Err(refusal.refuse(conn, "no route").await) })
    }
}

impl<Io: IoStream> Future for RouteFuture<Io> {
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.state {
                State::Serving(serving) => return serving.as_mut().poll(cx),
                State::Choosing(chosen) => match chosen.take() {
                    Some((routes, conn)) => self.state = State::Serving(routes.serve(conn)),
                    // A condition panicked in an earlier poll.
                    None => return Poll::Pending,
                },
            }
        }
    }
}

impl<Io> fmt::Debug for RouteFuture<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RouteFuture")
    }
}
