//! `handle`: an async function as a service.

use crate::{BoxError, connection::Connection, io::IoStream};
use pin_project_lite::pin_project;
use std::{
    any::type_name,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tower_service::Service;

/// Turns an async function into a connection service.
///
/// The service accepts connections over every kind of stream, since it [erases](Connection::boxed)
/// the stream's type. That is free for a plain socket and costs one allocation if layers have
/// wrapped it. To keep the type, implement `Service<Connection<Io>>` instead.
/// `tower::service_fn` makes a service for one type of stream only, and so does not fit inside
/// layers that change the type.
///
/// # Example
///
/// ```
/// use reagent::Connection;
/// use tokio::io::AsyncWriteExt;
///
/// async fn hello(mut conn: Connection) -> std::io::Result<()> {
///     conn.write_all(b"hello\n").await
/// }
///
/// let service = reagent::handle(hello);
/// # fn is_service(_: impl reagent::ConnectionService) {}
/// # is_service(service);
/// ```
pub fn handle<F, Fut, E>(function: F) -> Handler<F>
where
    F: FnMut(Connection) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    Handler { function }
}

/// The service that [`handle`] returns. It is always ready.
///
/// Its error is [`BoxError`], whatever the error of the function is. A layer around it can
/// therefore be optional: `tower::util::option_layer` requires the same error type with and without
/// the layer.
#[derive(Clone)]
#[must_use = "a service does nothing until a server is started with it"]
pub struct Handler<F> {
    function: F,
}

impl<F, Fut, E, Io> Service<Connection<Io>> for Handler<F>
where
    F: FnMut(Connection) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
    Io: IoStream,
{
    type Response = ();
    type Error = BoxError;
    type Future = HandlerFuture<Fut>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        HandlerFuture {
            future: (self.function)(conn.boxed()),
        }
    }
}

impl<F> fmt::Debug for Handler<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handler").field(&type_name::<F>()).finish()
    }
}

pin_project! {
    /// The future of a [`Handler`]: that of its function.
    #[must_use = "futures do nothing unless they are polled"]
    pub struct HandlerFuture<F> {
        #[pin]
        future: F,
    }
}

impl<F, E> Future for HandlerFuture<F>
where
    F: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    type Output = Result<(), BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().future.poll(cx).map_err(Into::into)
    }
}

impl<F> fmt::Debug for HandlerFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandlerFuture")
    }
}
