//! The result of a connection, from what hyper reports.

use reagent::{BoxError, ConnectionHandle, TimedOut};
use std::{error::Error, io};

/// The kinds of [`TimedOut`](reagent::TimedOut) that this layer ends connections with; see
/// [`TimedOut::kind`](reagent::TimedOut::kind).
///
/// ```
/// use axum::Router;
/// use reagent::{Outcome, Server, testing::MemoryListener};
/// use reagent_layers::http::{HttpLayer, kind};
/// use std::time::Duration;
/// use tokio::io::AsyncWriteExt;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// let (listener, clients) = MemoryListener::new();
/// let server = Server::new(listener)
///     .layer(HttpLayer::new().header_timeout(Duration::from_secs(5)))
///     .start(Router::new())
///     .await?;
///
/// let mut client = clients.connect().await?;
/// while server.connection_count() == 0 {
///     tokio::task::yield_now().await;
/// }
/// let connection = server.connection(1).unwrap();
/// client.write_all(b"GET / HTTP/1.1\r\nhost: loc").await?;
/// let outcome = connection.closed().await;
/// assert!(matches!(outcome, Outcome::TimedOut(limit) if limit.kind() == kind::HEADER));
/// # Ok(())
/// # }
/// ```
pub mod kind {
    /// The client sent nothing in time.
    pub const FIRST_BYTE: &str = "first byte";
    /// The client did not send the head of a request, or the preface of HTTP/2, in time.
    pub const HEADER: &str = "http header";
    /// The client sent no further request in time. A connection above this limit ends well, so this
    /// is only in the reports of a [`DryRun`](crate::DryRun).
    pub const KEEP_ALIVE: &str = "http keep-alive";
    /// The client did not send an awaited body, or did not take its response.
    pub const STREAM_IDLE: &str = "http stream idle";
    /// An upgraded connection moved no byte in either direction.
    pub const UPGRADED_IDLE: &str = "http upgraded idle";
    /// An HTTP/2 client did not answer a ping in time.
    pub const PING: &str = "http ping";
    /// An HTTP/2 client did not leave in time after a GOAWAY.
    pub const CLOSE: &str = "http close";
}

/// The label `error.type` of a client that sent something other than HTTP.
const MALFORMED: &str = "http_malformed";

/// The label `error.type` of a client that sent more than HTTP/2 can bear, such as resets of the
/// streams that it has just opened.
const FLOOD: &str = "http_flood";

/// Turns a time limit of hyper into a timeout, and an I/O error between two requests into an
/// ordinary end: a client may leave then in any way. Passes on other errors.
pub(super) fn from_result(
    result: hyper::Result<()>,
    is_idle: bool,
    handle: &ConnectionHandle,
) -> Result<(), BoxError> {
    match result {
        Ok(()) => Ok(()),
        Err(error) if error.is_timeout() => Err(TimedOut::new(kind::PING).into()),
        Err(error) if is_idle && error.source().is_some_and(<dyn Error>::is::<io::Error>) => Ok(()),
        Err(error) => {
            if let Some(error_type) = fault_of_client(&error) {
                // For spans, metrics and scores, which do not know this error type.
                handle.set_label("error.type", error_type);
            }
            Err(error.into())
        }
    }
}

/// Returns the class of an error that the client has caused by what it sent.
fn fault_of_client(error: &hyper::Error) -> Option<&'static str> {
    if error.is_parse() {
        return Some(MALFORMED);
    }
    let error = error.source()?.downcast_ref::<h2::Error>()?;
    // Only the library reports what the client did wrong.
    if !error.is_library() {
        return None;
    }
    match error.reason()? {
        h2::Reason::ENHANCE_YOUR_CALM => Some(FLOOD),
        _ => Some(MALFORMED),
    }
}
