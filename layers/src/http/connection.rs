//! What a request knows of its connection.

use reagent::{ConnectionHandle, Extensions};
use std::{fmt, sync::Arc};

/// The connection of a request. Every request carries it as an extension; a clone costs a reference count.
///
/// ```
/// use axum::Extension;
/// use reagent_layers::http::HttpConnection;
///
/// async fn whoami(Extension(connection): Extension<HttpConnection>) -> String {
///     // What layers have left, such as a `TlsInfo` or a `ProxyInfo`.
///     let name = connection.get::<String>().map_or("nobody", String::as_str);
///     format!("{name} from {}", connection.handle().peer_addr())
/// }
/// ```
#[derive(Clone)]
pub struct HttpConnection {
    inner: Arc<Inner>,
}

struct Inner {
    handle: ConnectionHandle,
    extensions: Extensions,
}

impl HttpConnection {
    pub(super) fn new(handle: ConnectionHandle, extensions: Extensions) -> Self {
        HttpConnection {
            inner: Arc::new(Inner { handle, extensions }),
        }
    }

    /// Returns the handle of the connection: its number, addresses and counters, and whether the server drains.
    pub fn handle(&self) -> &ConnectionHandle {
        &self.inner.handle
    }

    /// Returns the value of type `T` that a layer outside of HTTP left in the connection's extensions.
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.inner.extensions.get()
    }
}

impl fmt::Debug for HttpConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConnection")
            .field("id", &self.inner.handle.id())
            .field("extensions", &self.inner.extensions)
            .finish()
    }
}
