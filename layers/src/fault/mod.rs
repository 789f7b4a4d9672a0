//! Injects faults into connections: latency, low bandwidth, short reads and writes, resets, black
//! holes.
//!
//! # When to use it
//!
//! Use it in tests, to check that a handler reassembles messages that arrive in pieces, that its
//! time limits work, and that it cleans up after a reset. Do not use it in production.
//!
//! Faults are reproducible. Those of a connection depend only on a seed and on the number of the
//! connection, not on other connections or on the timing of polls. So with a
//! `reagent::testing::MemoryListener` and a paused clock, a test that has failed fails again.
//! [`FaultLayer::hits`] returns the faults of a connection.
//!
//! # Position in the stack
//!
//! Outermost, where the network is, so that all other layers meet the faults too. Inside of TLS, it
//! cuts the bytes of the handler rather than those of TLS records.
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use reagent_layers::fault::{Fault, FaultLayer};
//! use std::{io, time::Duration};
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, time::Instant};
//!
//! /// The handler under test: it echoes five bytes.
//! async fn handler(mut conn: Connection) -> io::Result<()> {
//!     let mut bytes = [0; 5];
//!     conn.read_exact(&mut bytes).await?; // With `read`, the test would fail.
//!     conn.write_all(&bytes).await
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let reset = Fault::reset_after(7);
//! let faults = FaultLayer::new(42) // the seed
//!     .with(1.0, Fault::slices(1..=3))
//!     .with(1.0, Fault::latency(Duration::from_millis(50), Duration::ZERO))
//!     .with(0.3, reset);
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
//!     // Five bytes read and two written are the seven before the reset.
//!     let is_reset = faults.hits(id).any(|fault| fault == reset);
//!     assert_eq!(answer, if is_reset { "he" } else { "hello" });
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! The layer itself returns no errors. After a reset, reads and writes of the handler fail with
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
