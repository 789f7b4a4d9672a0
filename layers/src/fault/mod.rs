//! Injects faults: latency, low bandwidth, short reads and writes, resets, black holes.
//!
//! # When to use it
//!
//! In tests: to check that a handler reassembles messages that arrive in pieces, that its time limits exist
//! and are right, and that it cleans up after a reset. Not in production.
//!
//! What goes wrong with a connection is a matter of a seed and of the connection's number, and nothing else: not of
//! the other connections, nor of when which is polled. So with a
//! `reagent::testing::MemoryListener` and a paused clock a test that fails, fails again; and
//! [`FaultLayer::hits`] says what a connection has to expect.
//!
//! # Position in the stack
//!
//! Outermost, where the network is: then all other layers have its faults too. Inside TLS it cuts the handler's
//! bytes and not the records'.
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Outcome, Server, testing::MemoryListener};
//! use reagent_layers::fault::{Fault, FaultLayer};
//! use std::{io, time::Duration};
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, time::Instant};
//!
//! /// The handler under test: it answers a line of five bytes.
//! async fn handler(mut conn: Connection) -> io::Result<()> {
//!     let mut line = [0; 5];
//!     conn.read_exact(&mut line).await?; // with `read` it would fail below
//!     conn.write_all(&line).await
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let faults = FaultLayer::new(42) // the seed
//!     .with(1.0, Fault::slices(1..=3))
//!     .with(1.0, Fault::latency(Duration::from_millis(50), Duration::ZERO))
//!     .with(0.3, Fault::reset_after(7));
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .layer(faults.clone())
//!     .start(reagent::handle(handler))
//!     .await?;
//!
//! for id in 1..=20 {
//!     let began = Instant::now();
//!     let mut client = clients.connect().await?;
//!     client.write_all(b"hello").await?;
//!     let mut answer = String::new();
//!     client.read_to_string(&mut answer).await?;
//!     assert_eq!(began.elapsed().as_millis(), 50);
//!     match faults.hits(id).any(|fault| fault == Fault::reset_after(7)) {
//!         true => assert_eq!(answer, "he"),
//!         false => assert_eq!(answer, "hello"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! None from the layer itself. A handler whose connection is reset gets
//! [`ConnectionReset`](std::io::ErrorKind::ConnectionReset).

mod delay;
mod io;
mod kinds;
mod layer;
mod plan;
mod service;

pub use io::FaultIo;
pub use kinds::Fault;
pub use layer::FaultLayer;
pub use service::FaultService;
