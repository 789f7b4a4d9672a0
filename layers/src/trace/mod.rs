//! Spans and events of connections, and events of the server, through [`tracing`].
//!
//! # When to use it
//!
//! Use it in every server whose behavior may have to be explained afterwards. There are two parts,
//! and either can be used without the other:
//!
//! - [`TraceObserver`] emits events. It misses no connection, whichever layer turns it away.
//! - [`TraceLayer`] runs the handler and the layers inside it in a span, so that everything they
//!   emit identifies the connection.
//!
//! They are separate types because only the layer has a position in the stack.
//!
//! # Position in the stack
//!
//! The observer has no position. The layer belongs inside of the PROXY protocol, so that the span
//! has the client's address from the start, and outside of TLS, so that the span includes the
//! handshake. Layers further out, such as a limit that rejects clients, are not in the span, but
//! the observer's events cover them.
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
//! // INFO reagent_layers::trace: connection ended connection.id=1 outcome="completed" …
//! # let mut lines = lines.lines().skip_while(|line| !line.contains("hello"));
//! # let (hello, end) = (lines.next().unwrap(), lines.next().unwrap());
//! assert!(hello.contains("connection{connection.id=1 "));
//! assert!(end.contains("connection ended") && end.contains(r#"outcome="completed""#));
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! ## Fields
//!
//! The names are those of the [OpenTelemetry attribute registry][registry], version 1.43, wherever
//! it defines one.
//!
//! | field | value | recorded in |
//! |---|---|---|
//! | `connection.id` | [`ConnectionHandle::id`](reagent::ConnectionHandle::id) | span, events |
//! | `network.transport` | `tcp` or `unix` | span, events |
//! | `network.type` | `ipv4` or `ipv6` | span, events |
//! | `network.peer.address`, `network.peer.port` | peer of the socket | span, events |
//! | `network.local.address`, `network.local.port` | address that the client connected to | span |
//! | `client.address`, `client.port` | client address reported by a proxy, if it differs from the peer | span, end event, event of a spared connection |
//! | `tls.protocol.version`, `tls.cipher`, `tls.client.ja4`, `tls.next_protocol`, `server.address` | connection labels with these names | span, end event |
//! | `outcome` | [`Outcome::as_str`](reagent::Outcome::as_str) | span at its end, end event |
//! | `error.type` | reason of a rejection, kind of a timeout, kind of a disconnect (`reset`, `eof`, `truncated`, `timed_out`), the label `error.type` if a layer set it, an [`ErrorKind`](std::io::ErrorKind), `panic` or `_OTHER` | span at its end, end event |
//! | `error.message` | text of a panic, or of an error followed by the texts of its sources | events |
//! | `bytes_read`, `bytes_written` | bytes read from and written to the socket | span at its end, end event |
//! | `duration` | lifetime of the connection in seconds | end event, event of a survivor |
//! | `listener` | address of the listener, the same as the metrics label | events |
//! | `reason`, `is_open`, `notified_at`, `phase` | see [`Survivor`](reagent::Survivor) | event of a connection that survived a drain |
//! | `layer`, `reason` | the limit that would have acted on the connection: see [`ConnectionSpared`](reagent::event::ConnectionSpared) | event of a connection that a dry run spared |
//! | `failures_unseen` | failures since the last event that were too many for [their level](TraceObserver::failure_level) | end event, event of a spared connection |
//! | `labels` | all other labels | end event |
//!
//! `server.address` also holds the server name of TLS (SNI), since the registry has deprecated
//! `tls.client.server_name`. It has deprecated `error.message` as well, in favor of a separate
//! name per domain. The field stays here because it is the name that people look for in logs, but
//! only in events, since the registry has always advised against it in spans.
//!
//! A [label](reagent::Connection::label) that has its own field is recorded in the span
//! immediately, if that span is current at the time and the server has a [`TraceObserver`]. The end
//! event has all labels.
//!
//! ## Levels
//!
//! The target of every span and event is `reagent_layers::trace`.
//!
//! - The span and the start event of a connection are `DEBUG` by default, and the end event is
//!   `INFO`. All three levels can be changed.
//! - Connections that failed can have a [level of their own](TraceObserver::failure_level) for
//!   their end event.
//! - The end event of a connection that panicked is always `ERROR`.
//! - At the end of a drain, the connections that survived it until the deadline have an event each,
//!   at most 100: `INFO`, or `WARN` if they are still open.
//! - Server events that clients can cause are `DEBUG`. Those that need attention are `WARN` or
//!   `ERROR`.
//!
//! The number of events that a client can cause with one connection is bounded: a start event, an
//! end event, one if it survives a drain, one for each limit in a dry run that it exceeds (with
//! HTTP/2, also for each stream), at most one each of `connection limit reached` and
//! `connection limit wait ended`, and `accept failed`, or `acceptor failed` if a service panics in
//! its `call`. Reads and writes emit nothing.
//!
//! A span or event whose level is disabled costs one comparison. Nothing is formatted or allocated
//! for it.
//!
//! # Errors
//!
//! The layer returns no errors itself and passes on the results of the inner service unchanged.
//!
//! The end event and the span say how the connection ended: `outcome`, and for an error its class
//! as `error.type`. The event, but not the span, has the text of the error or panic as
//! `error.message`, cut off after 1 KiB. That text comes from the program, so make sure that it
//! never contains a secret.
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

/// The target of the span and the events, by which filters select them.
const TARGET: &str = "reagent_layers::trace";

/// The name of a connection's span.
const SPAN: &str = "connection";
