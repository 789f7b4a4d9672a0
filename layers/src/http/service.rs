//! A service of requests as a service of connections.

use super::{Config, HttpFuture, version::Version};
use http::{Extensions, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use reagent::{BoxError, Connection, ConnectionParts, IoStream};
use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};
use tower_service::Service;

/// The service of an [`HttpLayer`](super::HttpLayer). It is always ready, since what its readiness could hold
/// back is connections: each request waits for the readiness of the clone that it is given to.
#[derive(Clone)]
pub struct Http<S> {
    pub(super) service: S,
    pub(super) config: Arc<Config>,
}

impl<S, B, Io> Service<Connection<Io>> for Http<S>
where
    Io: IoStream,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
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
        // What is cut short in the middle of a message is hyper's error.
        parts.handle.set_delimited();
        let extensions = facts(&parts, &self.config);
        HttpFuture::new(
            io,
            self.service.clone(),
            extensions,
            version,
            self.config.clone(),
            parts.handle,
        )
    }
}

/// What every request of a connection is told of it.
fn facts(parts: &ConnectionParts, config: &Config) -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(parts.handle.clone());
    extensions.insert(Arc::new(parts.handle.info()));
    #[cfg(feature = "tls")]
    if let Some(tls) = parts.extensions.get::<crate::tls::TlsInfo>() {
        extensions.insert(tls.clone());
    }
    #[cfg(feature = "proxy_protocol")]
    if let Some(proxy) = parts.extensions.get::<crate::proxy_protocol::ProxyInfo>() {
        extensions.insert(proxy.clone());
    }
    for add in &config.extensions {
        add(parts, &mut extensions);
    }
    extensions
}

impl<S: fmt::Debug> fmt::Debug for Http<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}
