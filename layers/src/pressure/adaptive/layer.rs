//! The layer that measures requests.

use super::Adaptive;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

/// A layer that reports the time from a request to its response to an [`Adaptive`] limit. It comes
/// from [`Adaptive::layer`].
///
/// The body of an HTTP response does not count. Requests that fail or are dropped are no samples.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless it is added to a service"]
pub struct SampleLayer {
    adaptive: Adaptive,
}

impl SampleLayer {
    pub(super) fn new(adaptive: Adaptive) -> Self {
        SampleLayer { adaptive }
    }
}

impl<S> Layer<S> for SampleLayer {
    type Service = SampleService<S>;

    fn layer(&self, inner: S) -> SampleService<S> {
        SampleService {
            inner,
            adaptive: self.adaptive.clone(),
        }
    }
}

/// The service of a [`SampleLayer`]. It is ready when the inner service is.
#[derive(Clone, Debug)]
pub struct SampleService<S> {
    inner: S,
    adaptive: Adaptive,
}

impl<S: Service<R>, R> Service<R> for SampleService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = SampleFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        SampleFuture {
            began: Instant::now(),
            inner: self.inner.call(request),
            adaptive: self.adaptive.clone(),
        }
    }
}

pin_project! {
    /// The future of a [`SampleService`].
    #[must_use = "futures do nothing unless they are polled"]
    pub struct SampleFuture<F> {
        #[pin]
        inner: F,
        began: Instant,
        adaptive: Adaptive,
    }
}

impl<F, T, E> Future for SampleFuture<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        if result.is_ok() {
            this.adaptive.sample(this.began.elapsed());
        }
        Poll::Ready(result)
    }
}

impl<F> fmt::Debug for SampleFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SampleFuture")
    }
}
