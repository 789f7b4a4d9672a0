//! The future of a service that limits connections over a cluster.

use super::trial::Trial;
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
    /// The future of a [`ClusterService`](super::ClusterService). It serves or refuses the
    /// connection, or asks the store first, or meanwhile.
    #[must_use = "futures do nothing unless they are polled"]
    pub struct ClusterFuture<S, Io>
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
        Asking { future: UpgradeFuture<S, Io> },
        Tried { #[pin] trial: Trial<S::Future> },
    }
}

impl<S: Service<Connection<Io>>, Io> ClusterFuture<S, Io> {
    pub(super) fn decided(future: LimitFuture<S::Future>) -> Self {
        ClusterFuture {
            state: State::Decided { future },
        }
    }

    pub(super) fn asking(future: UpgradeFuture<S, Io>) -> Self {
        ClusterFuture {
            state: State::Asking { future },
        }
    }

    pub(super) fn tried(trial: Trial<S::Future>) -> Self {
        ClusterFuture {
            state: State::Tried { trial },
        }
    }
}

impl<S, Io> Future for ClusterFuture<S, Io>
where
    S: Service<Connection<Io>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Decided { future } => future.poll(cx),
            StateProj::Asking { future } => Pin::new(future).poll(cx),
            StateProj::Tried { trial } => trial.poll(cx),
        }
    }
}

impl<S: Service<Connection<Io>>, Io> fmt::Debug for ClusterFuture<S, Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterFuture")
    }
}
