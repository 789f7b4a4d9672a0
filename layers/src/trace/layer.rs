//! The layer and its service.

use super::{
    SPAN, TARGET,
    facts::{self, ERROR_TYPE},
    level::at_level,
};
use reagent::{Connection, ConnectionHandle, IoStream};
use std::{
    cell::LazyCell,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;
use tracing::{Instrument, Level, Span, field::Empty, instrument::Instrumented};

/// A layer that runs the handler, and the layers inside, in a span per connection.
///
/// The span lasts as long as the connection, even if the connection's stream outlives the handler.
/// Tasks that the handler spawns are outside of the span, unless they enter it with
/// [`Instrument::in_current_span`].
///
/// # Example
///
/// ```
/// use reagent::{Connection, Server, testing::MemoryListener};
/// use reagent_layers::trace::TraceLayer;
/// use tracing::{Instrument, Level};
///
/// # #[derive(Clone, Default)]
/// # struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
/// # impl std::io::Write for Lines {
/// #     fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
/// #         self.0.lock().unwrap().write(bytes)
/// #     }
/// #     fn flush(&mut self) -> std::io::Result<()> {
/// #         Ok(())
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), reagent::BoxError> {
/// # let lines = Lines::default();
/// # let writer = lines.clone();
/// # let _guard = tracing::subscriber::set_default(
/// #     tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish(),
/// # );
/// # let (listener, clients) = MemoryListener::new();
/// let server = Server::new(listener)
///     .layer(TraceLayer::new().level(Level::INFO))
///     .start(reagent::handle(|_: Connection| async {
///         let outside = tokio::spawn(async { tracing::info!("outside") });
///         let inside = tokio::spawn(async { tracing::info!("inside") }.in_current_span());
///         outside.await?;
///         inside.await
///     }))
///     .await?;
/// # drop(clients.connect().await?);
/// # while server.stats().completed == 0 {
/// #     tokio::task::yield_now().await;
/// # }
/// # let lines = String::from_utf8(lines.0.lock().unwrap().clone())?;
/// # let [outside, inside] = ["outside", "inside"]
/// #     .map(|text| lines.lines().find(|line| line.ends_with(text)).unwrap());
///
/// assert!(!outside.contains("connection.id=1"));
/// assert!(inside.contains("connection.id=1"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TraceLayer {
    level: Level,
}

impl TraceLayer {
    /// Creates a layer whose spans have the level `DEBUG`, so that programs that log at `INFO` pay
    /// nothing for them.
    pub fn new() -> Self {
        TraceLayer {
            level: Level::DEBUG,
        }
    }

    /// Sets the level of the spans. The default is `DEBUG`.
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }
}

impl Default for TraceLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace {
            inner,
            level: self.level,
        }
    }
}

/// The service of a [`TraceLayer`]. It is ready when the inner service is.
#[derive(Clone, Debug)]
pub struct Trace<S> {
    inner: S,
    level: Level,
}

impl<S, Io> Service<Connection<Io>> for Trace<S>
where
    S: Service<Connection<Io>>,
    Io: IoStream,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Instrumented<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        let span = span(self.level, &conn);
        if !span.is_disabled() {
            let connection = conn.handle();
            conn.keep(Ending {
                has_client: facts::client(&connection).is_some(),
                span: span.clone(),
                connection,
            });
        }
        let future = span.in_scope(|| self.inner.call(conn));
        future.instrument(span)
    }
}

fn span<Io: IoStream>(level: Level, conn: &Connection<Io>) -> Span {
    let socket = conn.socket_addr();
    // Computed only if the span is enabled.
    let local = LazyCell::new(|| conn.local_addr().ok());
    let client = LazyCell::new(|| Some(conn.peer_addr()).filter(|client| *client != socket));
    at_level!(
        level,
        span!(target: TARGET,)(
            SPAN,
            connection.id = conn.id(),
            network.transport = facts::transport(socket),
            "network.type" = facts::network_type(socket),
            network.peer.address = facts::address(socket),
            network.peer.port = socket.port(),
            network.local.address = local.as_ref().and_then(facts::address),
            network.local.port = local.as_ref().and_then(reagent::Addr::port),
            client.address = client.and_then(facts::address),
            client.port = client.and_then(reagent::Addr::port),
            server.address = Empty,
            tls.cipher = Empty,
            tls.client.ja4 = Empty,
            tls.next_protocol = Empty,
            tls.protocol.version = Empty,
            outcome = Empty,
            "error.type" = Empty,
            bytes_read = Empty,
            bytes_written = Empty,
        )
    )
}

/// A guard that completes the span when the connection has ended.
struct Ending {
    span: Span,
    connection: ConnectionHandle,
    has_client: bool,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Ending {
            span, connection, ..
        } = self;
        if let (false, Some(client)) = (self.has_client, facts::client(connection)) {
            span.record("client.address", facts::address(client));
            span.record("client.port", client.port());
        }
        if let Some(outcome) = connection.outcome() {
            span.record("outcome", outcome.as_str());
            let label = connection.label(ERROR_TYPE);
            let error_type = facts::error_type(&outcome, label.as_deref());
            span.record("error.type", error_type.as_deref());
        }
        span.record("bytes_read", connection.bytes_read());
        span.record("bytes_written", connection.bytes_written());
    }
}
