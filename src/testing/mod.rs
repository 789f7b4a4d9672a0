//! Listeners and connections for tests: without sockets, and with scripted failures.
//!
//! They run the same server code as sockets do, with a running or a paused Tokio clock. Here, an
//! hour passes at once:
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
//! A unit test of a handler or an upgrade needs no server: see [`connection()`].
//!
//! # A paused clock
//!
//! Tokio advances a [paused] clock to the next timer whenever its runtime has nothing else to do.
//! While a server waits for clients, and a handler for its client, there is no timer of this crate,
//! so a test behaves as it does with an accept loop. Timers are added by:
//!
//! - a [`Session`](crate::Session), whose
//!   [read timeout](crate::session::SessionService::read_timeout) is 60 s by default;
//! - an upgrade that waits for its client, for its time limit;
//! - layers with time limits, such as `reagent_layers::timeout`;
//! - recovery from a failure: of a service, of accepting, or of a listener;
//! - a drain, for its deadline.
//!
//! Over a [`MemoryListener`], such tests are deterministic. Over sockets, two properties of Tokio
//! matter:
//!
//! - Before Tokio 1.51.6 (1.53.3 in the 1.52 and 1.53 releases), the clock also advanced when a
//!   socket had just woken a task. A test that passed because of it fails after an update of Tokio,
//!   such as the one that adding this crate may cause.
//! - Timers fire at whole milliseconds and are rounded up. If the clock was paused between two of
//!   them, [`advance`] by the duration of a `sleep` ends just before it fires. Begin the test with
//!   `start_paused = true`, or advance by a millisecond more.
//!
//! [paused]: https://docs.rs/tokio/1/tokio/time/fn.pause.html
//! [`advance`]: https://docs.rs/tokio/1/tokio/time/fn.advance.html

mod connection;
mod flaky;
mod memory;
mod wakers;

pub use connection::connection;
pub use flaky::{FlakyListener, Script};
pub use memory::{Clients, MemoryListener};
