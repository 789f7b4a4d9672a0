//! Spans and events of connections, and events of the server, for [`tracing`].
//!
//! # When
//!
//! Whenever somebody is to find out later what happened. There are two parts, each of use without the other:
//! [`TraceObserver`] emits events, and misses no connection, whatever layer turns it away. [`TraceLayer`]
//! puts the handler and the layers inside it into a span, so that whatever they emit says which connection it
//! is about. They are two types because only the layer has a place in the stack that matters.
//!
//! # Where in the stack
//!
//! The observer has no place in it. The layer goes inside the PROXY protocol, whose addresses the span then has
//! from the beginning, and outside TLS, whose handshake is then in the span. What is outside of it, such as
//! a limit that rejects, is not in the span, but in the observer's events.
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use reagent_layers::trace::{TraceLayer, TraceObserver};
//! use tracing::Level;
//!
//! # #[derive(Clone, Default)]
//! # struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
//! # impl std::io::Write for Lines {
//! #     fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
//! #         self.0.lock().unwrap().write(bytes)
//! #     }
//! #     fn flush(&mut self) -> std::io::Result<()> {
//! #         Ok(())
//! #     }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! # let lines = Lines::default();
//! # let writer = lines.clone();
//! # let _guard = tracing::subscriber::set_default(
//! #     tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish(),
//! # );
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .observe(TraceObserver::new())
//!     .layer(TraceLayer::new().level(Level::INFO))
//!     .start(reagent::handle(|_: Connection| async {
//!         tracing::info!("hello");
//!         std::io::Result::Ok(())
//!     }))
//!     .await?;
//!
//! drop(clients.connect().await?);
//! # while server.stats().completed == 0 {
//! #     tokio::task::yield_now().await;
//! # }
//! # let lines = String::from_utf8(lines.0.lock().unwrap().clone())?;
//! // Of the two lines, the first is the handler's:
//! // INFO connection{connection.id=1 network.peer.address="client:1" …}: my_server: hello
//! // INFO reagent_layers::trace: connection ended connection.id=1 outcome="completed" duration=0.0001 …
//! # let mut lines = lines.lines().skip_while(|line| !line.contains("hello"));
//! # let (hello, end) = (lines.next().unwrap(), lines.next().unwrap());
//! assert!(hello.contains("connection{connection.id=1 "));
//! assert!(end.contains("connection ended") && end.contains(r#"outcome="completed""#));
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! None: results go through as they are. How a connection ended is in its span and in its end event as
//! `outcome`, a class of error as `error.type`, and in the event the text of the error, or of the panic,
//! as `error.message`, cut off after 1 KiB. That text is the program's own, so no secret may be in it.
//!
//! # Names
//!
//! They are those of [OpenTelemetry's registry of attributes][registry], version 1.43, wherever it has one.
//!
//! | field | what it is | where |
//! |---|---|---|
//! | `connection.id` | [`ConnectionHandle::id`](reagent::ConnectionHandle::id) | both |
//! | `network.transport` | `tcp` or `unix` | both |
//! | `network.type` | `ipv4` or `ipv6` | both |
//! | `network.peer.address`, `network.peer.port` | the other end of the socket | both |
//! | `network.local.address`, `network.local.port` | the end that the client connected to | span |
//! | `client.address`, `client.port` | the client that a proxy speaks for, if it is another | both |
//! | `tls.protocol.version`, `tls.cipher`, `tls.next_protocol`, `server.address` | labels of these names | both |
//! | `outcome` | [`Outcome::as_str`](reagent::Outcome::as_str) | both, at the end |
//! | `error.type` | a reason of rejection, a kind of time-out, what a layer set as the label `error.type`, an [`ErrorKind`](std::io::ErrorKind), `panic` or `_OTHER` | both, at the end |
//! | `error.message` | the text of an error or a panic | events |
//! | `bytes_read`, `bytes_written` | what went through the socket | both, at the end |
//! | `duration` | seconds | end event |
//! | `listener` | the address it came in by, as in the label of the metrics | events |
//! | `failures_unseen` | failures since the last that were too many for [their level](TraceObserver::failure_level) | end event |
//! | `labels` | all other labels | end event |
//!
//! `server.address` is also the name for TLS' server name (SNI), since the registry gave up
//! `tls.client.server_name`. It gave up `error.message` too, and wants a name of its own for each domain; here
//! it stays, since this is the name that those who read logs know, but out of the spans, where the registry never
//! wanted it.
//!
//! A [label](reagent::Connection::label) that has a field is recorded at once where the connection's span is
//! the current one and the server has a [`TraceObserver`]; the end event has them all.
//!
//! # Levels
//!
//! The target of everything is `reagent_layers::trace`. A connection's span and its start event are `DEBUG`,
//! its end event is `INFO`; all three can be set, and one for the ends of connections that
//! [failed](TraceObserver::failure_level). A panic is `ERROR` whatever was set. Of the server's events,
//! what a client can cause is `DEBUG`, and what needs somebody's attention is `WARN` or `ERROR`.
//!
//! A client can cause a fixed number of events with each connection: its start and its end, and at most
//! `limit reached` and `limit waited`, `accept failed`, or `acceptor failed` where a service panics in its `call`.
//! Nothing is emitted for a read or a write. What is switched off by its level costs a comparison: nothing is
//! formatted, and no memory is taken.
//!
//! [registry]: https://opentelemetry.io/docs/specs/semconv/registry/attributes/

mod event;
mod facts;
mod failures;
mod layer;
mod level;
mod observer;

pub use layer::{Trace, TraceLayer};
pub use observer::TraceObserver;

/// By what filters find the span and the events.
const TARGET: &str = "reagent_layers::trace";

/// The name of a connection's span.
const SPAN: &str = "connection";
