//! `handle`: an async function as a service.

use crate::{connection::Connection, io::IoStream};
use std::{
    any::type_name,
    convert::Infallible,
    fmt,
    future::Future,
    marker::PhantomData,
    task::{Context, Poll},
};
use tower_service::Service;

/// Turns an async function into a service of connections.
///
/// The service accepts connections over every kind of stream, since it [erases](Connection::boxed)
/// the stream's type. That is free for a plain socket and costs one allocation if layers have
/// wrapped it. To keep the type, implement `Service<Connection<Io>>` instead.
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
pub fn handle<F, Fut, E>(function: F) -> Handler<F, E>
where
    F: FnMut(Connection) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    Handler {
        function,
        error: PhantomData,
    }
}

/// The service that [`handle`] returns. It is always ready.
#[must_use = "a service does nothing until a server is started with it"]
pub struct Handler<F, E = Infallible> {
    function: F,
    error: PhantomData<fn() -> E>,
}

impl<F, Fut, E, Io> Service<Connection<Io>> for Handler<F, E>
where
    F: FnMut(Connection) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    Io: IoStream,
{
    type Response = ();
    type Error = E;
    type Future = Fut;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, conn: Connection<Io>) -> Fut {
        (self.function)(conn.boxed())
    }
}

impl<F: Clone, E> Clone for Handler<F, E> {
    fn clone(&self) -> Self {
        Handler {
            function: self.function.clone(),
            error: PhantomData,
        }
    }
}

impl<F, E> fmt::Debug for Handler<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handler").field(&type_name::<F>()).finish()
    }
}
