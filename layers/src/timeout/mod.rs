//! Ends connections whose clients take too long.
//!
//! # When to use it
//!
//! Wherever clients are not your own: each connection holds a descriptor and memory, and a client that does
//! nothing holds them for nothing. `tower::timeout::TimeoutLayer` bounds the whole life of a connection and
//! nothing else; this layer looks at what happens in it.
//!
//! # Position in the stack
//!
//! Inside TLS and the PROXY protocol, which have their own timeouts, so that the bytes it looks at are the
//! handler's; and outside of layers that implement a protocol on the stream. It works outside of TLS too, where
//! a handshake counts as activity.
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
//! `first_byte`, `read`, `write` and `min_rate` measure the client: they run only while the handler waits for it. A
//! handler that first does something else, such as connecting to an upstream, uses up none of its client's time. A
//! read or write that was dropped is no wait: before such a limit ends a connection, the task that waits is woken,
//! and if it does not poll the read or write again within a second, the limit starts afresh with the next
//! one. `idle` and `max_age` run whatever the handler does.
//!
//! The limits hold as long as the handler's future exists. A stream that it gave away has none.
//!
//! # Errors
//!
//! [`TimedOut`](reagent::TimedOut) of the kind [`FIRST_BYTE`], [`IDLE`], [`READ`], [`WRITE`], [`RATE`] or [`AGE`]; the
//! handler's future is dropped. If its last write had to wait, the connection is reset: bytes that the client does
//! not take would stay with the system for as long as the client likes (nginx has `reset_timedout_connection`).
//! Otherwise it is closed, with TLS after a `close_notify` where that cannot make half an answer
//! look whole; the module `tls` has the cases.

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
