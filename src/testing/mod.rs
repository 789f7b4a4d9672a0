//! Listeners and connections for tests: without sockets, and with scripted failures.
//!
//! They run the same server code as sockets do, with any Tokio clock. Here an hour passes in no
//! time:
//!
//! ```
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .start(reagent::handle(|mut conn: Connection| async move {
//!         tokio::time::sleep(std::time::Duration::from_secs(3600)).await; // takes no time here
//!         conn.write_all(b"hello").await
//!     }))
//!     .await?;
//!
//! let mut client = clients.connect().await?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! A unit test of a handler or an upgrade needs no server: see [`connection`].
//!
//! # A paused clock
//!
//! Tokio advances a [paused](tokio::time::pause) clock to the next timer whenever its runtime has nothing
//! else to do. A server adds no timer of its own while it waits for clients or a handler waits for its
//! client, so a test behaves as with an accept loop. These do add timers:
//!
//! - a [`Session`](crate::Session), whose [read timeout](crate::session::SessionService::read_timeout) is 60 s
//!   by default;
//! - an upgrade that waits for its client, up to its time limit;
//! - layers with time limits, such as `reagent_layers::timeout`;
//! - an acceptor whose service failed, a listener that was lost, and a drain, which has a deadline.
//!
//! Tests with a paused clock are most reliable over a [`MemoryListener`]. With sockets, there are two
//! things to know about Tokio:
//!
//! - Before Tokio 1.51.6 and 1.53.3, the clock advanced even when a socket had just woken a task. A
//!   test that relied on it, or that was written around it, may behave otherwise after an update of
//!   Tokio, which adding this crate may cause.
//! - Timers fire at whole milliseconds, and are rounded up. If the clock was paused in the middle of one,
//!   [`advance`](tokio::time::advance) by exactly the duration of a `sleep` ends before it. Begin the
//!   test with `start_paused = true`, or advance by a millisecond more.

mod connection;
mod flaky;
mod memory;
mod wakers;

pub use connection::connection;
pub use flaky::{FlakyListener, Script};
pub use memory::{Clients, MemoryListener};
