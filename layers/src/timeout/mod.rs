//! Ends connections whose clients take too long.
//!
//! # When to use it
//!
//! Use it in every server that accepts clients you do not control. Each connection holds a
//! descriptor and memory, even if its client does nothing. `tower::timeout::TimeoutLayer` can only
//! limit the total lifetime of a connection, whereas this layer reacts to what happens on it.
//!
//! # Position in the stack
//!
//! The layer belongs inside of TLS and the PROXY protocol, which have their own time limits, and
//! outside of layers that implement a protocol on the stream. In that position, it sees the same
//! bytes as the handler. It also works outside of TLS, where a handshake counts as activity.
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Outcome, Server, testing::MemoryListener};
//! use reagent_layers::timeout::{self, TimeoutsLayer};
//! use std::time::Duration;
//! use tokio::io::AsyncReadExt;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .layer(TimeoutsLayer::new().first_byte(Duration::from_secs(5)))
//!     .start(reagent::handle(|mut conn: Connection| async move {
//!         conn.read_u8().await.map(drop)
//!     }))
//!     .await?;
//!
//! let _silent = clients.connect().await?;
//! while server.connection_count() == 0 {
//!     tokio::task::yield_now().await;
//! }
//! let outcome = server.connection(1).unwrap().closed().await;
//! assert!(matches!(outcome, Outcome::TimedOut(limit) if limit.kind() == timeout::FIRST_BYTE));
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! `first_byte`, `read`, `write` and `min_rate` measure the client: they run only while the handler
//! waits for it. While the handler does something else, such as connecting to an upstream, they are
//! suspended. `idle` and `max_age` run regardless of what the handler does.
//!
//! A read or write that the handler has dropped does not count as waiting. Before such a limit ends
//! a connection, the layer wakes the waiting task. If the task does not poll the read or write
//! again within a second, the connection stays open, and the limit starts over with the next read
//! or write that waits.
//!
//! The limits apply for as long as the handler's future exists. They also end a stream that the
//! handler has moved into another task: its reads and writes then fail with
//! [`ConnectionAborted`](std::io::ErrorKind::ConnectionAborted). A stream that outlives the
//! handler's future has no limits.
//!
//! The limits can be tried in a [`DryRun`](crate::DryRun) before they are enforced.
//!
//! # Errors
//!
//! The layer ends a connection with [`TimedOut`](reagent::TimedOut), of the kind [`FIRST_BYTE`],
//! [`IDLE`], [`READ`], [`WRITE`], [`RATE`] or [`AGE`]. The handler's future is dropped.
//!
//! If the handler's last write was still waiting for the client, the connection is reset.
//! Otherwise, the operating system would keep the unsent bytes for as long as the client refuses
//! them. nginx has `reset_timedout_connection` for this. In all other cases the connection is
//! closed, with TLS after a `close_notify` if that cannot make half a response look complete; the
//! module `tls` lists these cases.

mod ask;
mod flow;
mod future;
mod io;
mod layer;
mod service;
mod watch;

pub use future::TimeoutsFuture;
pub use io::TimedIo;
pub use layer::{AGE, FIRST_BYTE, IDLE, RATE, READ, TimeoutsLayer, WRITE};
pub use service::Timeouts;
