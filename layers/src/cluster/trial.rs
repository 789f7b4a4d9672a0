//! The future of a connection that is served while its limit, in a dry run, asks the store.

use pin_project_lite::pin_project;
use reagent::BoxError;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// What a connection keeps until it ends: its place, if it has one.
pub(super) type Kept = Option<Box<dyn Send>>;

/// The decision of a limit.
pub(super) type Deciding = Pin<Box<dyn Future<Output = Kept> + Send>>;

pin_project! {
    /// Serves a connection without waiting for the decision, and ends after both: a connection that
    /// is shorter than a round trip to the store is counted, too.
    pub(super) struct Trial<F: Future> {
        deciding: Option<Deciding>,
        kept: Kept,
        #[pin]
        serving: F,
        served: Option<F::Output>,
    }
}

impl<F: Future> Trial<F> {
    pub(super) fn new(deciding: Deciding, serving: F) -> Self {
        Trial {
            deciding: Some(deciding),
            kept: None,
            serving,
            served: None,
        }
    }
}

impl<F, R, E> Future for Trial<F>
where
    F: Future<Output = Result<R, E>>,
    E: Into<BoxError>,
{
    type Output = Result<R, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let trial = self.project();
        if let Some(deciding) = trial.deciding {
            if let Poll::Ready(kept) = deciding.as_mut().poll(cx) {
                *trial.kept = kept;
                *trial.deciding = None;
            }
        }
        if trial.served.is_none() {
            if let Poll::Ready(served) = trial.serving.poll(cx) {
                *trial.served = Some(served);
            }
        }
        if trial.deciding.is_some() {
            return Poll::Pending;
        }
        match trial.served.take() {
            Some(served) => Poll::Ready(served.map_err(Into::into)),
            None => Poll::Pending,
        }
    }
}
