//! The connection of a request.

use reagent::{ConnectionHandle, Extensions};
use std::{fmt, sync::Arc};

/// The connection of a request. Every request carries it as an extension. A clone costs a reference
/// count.
///
/// ```
/// use axum::{Extension, Router, routing::get};
/// use reagent::{Connection, Server, testing::MemoryListener};
/// use reagent_layers::http::{HttpConnection, HttpLayer};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tower::util::MapRequestLayer;
///
/// /// An extension left by an outer layer, as `tls` leaves a `TlsInfo`.
/// #[derive(Clone)]
/// struct User(&'static str);
///
/// async fn whoami(Extension(connection): Extension<HttpConnection>) -> String {
///     let user = connection.get::<User>().map_or("nobody", |user| user.0);
///     format!("{user} on connection {}", connection.handle().id())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let (listener, clients) = MemoryListener::new();
/// let server = Server::new(listener)
///     .layer(MapRequestLayer::new(|mut conn: Connection| {
///         conn.extensions_mut().insert(User("alice"));
///         conn
///     }))
///     .layer(HttpLayer::new())
///     .start(Router::new().route("/", get(whoami)))
///     .await?;
///
/// let mut client = clients.connect().await?;
/// client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).await?;
/// assert!(answer.ends_with("alice on connection 1"));
/// # Ok(())
/// # }
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

    /// Returns the handle of the connection: its number, addresses and counters, and whether the
    /// server drains.
    pub fn handle(&self) -> &ConnectionHandle {
        &self.inner.handle
    }

    /// Returns the value of type `T` that an outer layer has left in the extensions of the
    /// connection.
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
