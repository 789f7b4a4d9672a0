//! The service of access control.

use super::Access;
use crate::refusal::LimitFuture;
use reagent::{BoxError, Connection, ConnectionHandle, IoStream};
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// The service of an [`AccessLayer`](super::AccessLayer). It is ready when the inner service is.
#[derive(Clone, Debug)]
pub struct AccessService<S> {
    inner: S,
    access: Arc<Access>,
}

impl<S> AccessService<S> {
    pub(super) fn new(inner: S, access: Arc<Access>) -> Self {
        AccessService { inner, access }
    }
}

impl<S, Io> Service<Connection<Io>> for AccessService<S>
where
    S: Service<Connection<Io>>,
    S::Error: Into<BoxError>,
    Io: IoStream,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = LimitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        let connection: &ConnectionHandle = conn.as_ref();
        // Before the check, so that no change is missed.
        let registered = self.access.register(connection);
        // The check is user code: if it panics, that ends the connection and not the acceptor.
        let refuses = || self.access.refuses_connection(connection);
        match catch_unwind(AssertUnwindSafe(refuses)) {
            Ok(None) => {
                if let Some(registered) = registered {
                    conn.keep(registered);
                }
                LimitFuture::serving(self.inner.call(conn), None)
            }
            Ok(Some(reason)) if self.access.spares(connection, reason) => {
                LimitFuture::serving(self.inner.call(conn), None)
            }
            Ok(Some(reason)) => LimitFuture::refusing(self.access.how(), conn, reason),
            Err(panic) => LimitFuture::ending(async move {
                let _conn = conn;
                resume_unwind(panic)
            }),
        }
    }
}
