//! The future of a service that limits connections by client.

use super::wait::Shadow;
use crate::refusal::LimitFuture;
use pin_project_lite::pin_project;
use reagent::{BoxError, Connection, UpgradeFuture};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tower_service::Service;

pin_project! {
    /// The future of a [`PerClientService`](super::PerClientService). It serves or refuses the
    /// connection, or waits for a place first.
    #[must_use = "futures do nothing unless they are polled"]
    pub struct PerClientFuture<S, Io>
    where
        S: Service<Connection<Io>>,
    {
        #[pin]
        state: State<S, Io>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Io>
    where
        S: Service<Connection<Io>>,
    {
        Decided { #[pin] future: LimitFuture<S::Future> },
        Waiting { future: UpgradeFuture<S, Io> },
        // Served in a dry run, beside the wait for a place.
        Spared { #[pin] future: S::Future, waiting: Option<Shadow> },
    }
}

impl<S: Service<Connection<Io>>, Io> PerClientFuture<S, Io> {
    pub(super) fn decided(future: LimitFuture<S::Future>) -> Self {
        PerClientFuture {
            state: State::Decided { future },
        }
    }

    pub(super) fn waiting(future: UpgradeFuture<S, Io>) -> Self {
        PerClientFuture {
            state: State::Waiting { future },
        }
    }

    pub(super) fn spared(future: S::Future, waiting: Option<Shadow>) -> Self {
        PerClientFuture {
            state: State::Spared { future, waiting },
        }
    }
}

impl<S, Io> Future for PerClientFuture<S, Io>
where
    S: Service<Connection<Io>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Decided { future } => future.poll(cx),
            StateProj::Waiting { future } => Pin::new(future).poll(cx),
            StateProj::Spared { future, waiting } => {
                if let Some(shadow) = waiting {
                    if shadow.as_mut().poll(cx).is_ready() {
                        *waiting = None;
                    }
                }
                future.poll(cx).map_err(Into::into)
            }
        }
    }
}

impl<S: Service<Connection<Io>>, Io> fmt::Debug for PerClientFuture<S, Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PerClientFuture")
    }
}
