//! The span of a connection.

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

/// A layer that gives each connection a span, in which the handler and the layers inside run.
///
/// The span lasts as long as the connection, even where its stream leaves its handler. A task that the handler
/// spawns is in it if it is told so, by [`Instrument::in_current_span`].
#[derive(Clone, Copy, Debug)]
pub struct TraceLayer {
    level: Level,
}

impl TraceLayer {
    /// A layer whose spans are `DEBUG`.
    pub fn new() -> Self {
        TraceLayer {
            level: Level::DEBUG,
        }
    }

    /// Sets the level of the spans.
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

/// The service of a [`TraceLayer`]: ready when the service inside is.
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
    // Asked only where the span is enabled.
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
            tls.next_protocol = Empty,
            tls.protocol.version = Empty,
            outcome = Empty,
            "error.type" = Empty,
            bytes_read = Empty,
            bytes_written = Empty,
        )
    )
}

/// Kept with a connection until it is over, to complete its span.
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
