//! The future that ends a connection above its quota.

use super::quota::Spent;
use pin_project_lite::pin_project;
use reagent::BoxError;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

pin_project! {
    /// The future of a [`Bandwidth`](super::Bandwidth) service.
    pub struct BandwidthFuture<F> {
        #[pin]
        inner: F,
        spent: Option<Arc<Spent>>,
    }
}

impl<F> BandwidthFuture<F> {
    pub(super) fn new(inner: F, spent: Option<Arc<Spent>>) -> Self {
        BandwidthFuture { inner, spent }
    }
}

impl<F, T, E> Future for BandwidthFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = this.inner.poll(cx);
        // A connection above its quota ends here, whatever the handler makes of the error.
        if let Some(over) = this.spent.as_ref().and_then(|spent| spent.over()) {
            return Poll::Ready(Err(over.into()));
        }
        polled.map_err(Into::into)
    }
}

impl<F> fmt::Debug for BandwidthFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BandwidthFuture")
    }
}
