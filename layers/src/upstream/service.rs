//! Connecting as a tower service.

use super::{connect::Connected, error::UpstreamError, handle::Upstreams, key::Key};
use reagent::BoxError;
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};
use tower_service::Service;

/// A tower service that connects to an upstream of a set: see [`Upstreams::service`].
///
/// It is always ready. The connector is made ready once its target is chosen, and clones of it
/// serve connections that are made at the same time.
#[derive(Clone)]
pub struct ConnectService<T, C> {
    upstreams: Upstreams<T>,
    connector: C,
}

impl<T, C> ConnectService<T, C> {
    pub(super) fn new(upstreams: Upstreams<T>, connector: C) -> Self {
        ConnectService {
            upstreams,
            connector,
        }
    }
}

impl<T, C> Service<Key> for ConnectService<T, C>
where
    T: Clone + Send + Sync + 'static,
    C: Service<T> + Clone + Send + 'static,
    C::Response: Send,
    C::Error: Into<BoxError> + Send,
    C::Future: Send,
{
    type Response = Connected<C::Response>;
    type Error = UpstreamError;
    type Future = ConnectFuture<C::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, key: Key) -> Self::Future {
        let ConnectService {
            upstreams,
            connector,
        } = self.clone();
        ConnectFuture(Box::pin(async move {
            let connect = move |target| connect(connector.clone(), target);
            upstreams.connect(key, connect).await
        }))
    }
}

/// Calls a connector once it is ready.
pub(super) async fn connect<T, C: Service<T>>(
    mut connector: C,
    target: T,
) -> Result<C::Response, C::Error> {
    poll_fn(|cx| connector.poll_ready(cx)).await?;
    connector.call(target).await
}

impl<T, C> fmt::Debug for ConnectService<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectService").finish_non_exhaustive()
    }
}

/// The future of [`ConnectService`].
///
/// # Cancel safety
///
/// Cancel safe, as [`Upstreams::connect`] is.
#[must_use = "futures do nothing unless they are polled"]
pub struct ConnectFuture<S>(
    Pin<Box<dyn Future<Output = Result<Connected<S>, UpstreamError>> + Send>>,
);

impl<S> Future for ConnectFuture<S> {
    type Output = Result<Connected<S>, UpstreamError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<S> fmt::Debug for ConnectFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectFuture")
    }
}
