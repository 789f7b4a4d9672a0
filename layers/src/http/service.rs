//! A service of requests as a service of connections.

use super::{
    Config, HttpConnection, HttpFuture, RequestBody, conn_service::ConnService, version::Version,
};
use http::{Extensions, Request, Response};
use http_body::Body;
use reagent::{BoxError, Connection, IoStream};
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// The service of an [`HttpLayer`](super::HttpLayer).
///
/// It is always ready: each request waits until the clone of the inner service made for it is
/// ready. Waiting here would hold back connections instead.
#[derive(Clone)]
pub struct Http<S> {
    pub(super) service: S,
    pub(super) config: Arc<Config>,
}

impl<S, B, Io> Service<Connection<Io>> for Http<S>
where
    Io: IoStream,
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = ();
    type Error = BoxError;
    type Future = HttpFuture<Io, S>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        let version = match (self.config.version, conn.negotiated_protocol()) {
            (Version::Any, Some(b"h2")) => Version::Http2,
            (Version::Any, Some(b"http/1.1")) => Version::Http1,
            (version, _) => version,
        };
        let (io, parts) = conn.into_parts();
        // hyper reports a message that is cut short as an error.
        parts.handle.set_delimited();
        let mut extensions = Extensions::new();
        for add in &self.config.extensions {
            add(&parts, &mut extensions);
        }
        let handle = parts.handle.clone();
        let connection = HttpConnection::new(parts.handle, parts.extensions);
        if !extensions.is_empty() {
            // In the same map, so that a request makes only one.
            extensions.insert(connection.clone());
        }
        let service = ConnService {
            service: self.service.clone(),
            connection,
            extensions,
            activity: Arc::default(),
            streams: None,
        };
        HttpFuture::new(io, service, version, self.config.clone(), handle)
    }
}

impl<S: fmt::Debug> fmt::Debug for Http<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}
