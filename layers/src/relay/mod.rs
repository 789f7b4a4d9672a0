//! Carries bytes between a connection and an upstream, both ways, until both have ended.
//!
//! # When to use it
//!
//! At the end of every proxy: a gateway in front of a database, SOCKS, a router by server name. It does
//! what [`tokio::io::copy_bidirectional`] does, and what a proxy needs besides:
//!
//! - A buffer is held only while there are bytes in it, so an idle connection costs none.
//! - The end of one direction (a half-close) is passed on, and the other direction goes on.
//! - What a side sent before it failed is delivered: see [below](#when-a-side-fails).
//! - The failure of one side is passed on as a reset, not as an orderly end that would make half an answer look
//!   whole.
//!
//! # Position in the stack
//!
//! Innermost: it is what a handler does. TLS, time limits and rates around it apply to the client's side.
//! It has no time limit while both sides live, so an idle limit belongs in the stack; see `timeout`.
//!
//! # Example
//!
//! ```
//! use reagent::{BoxError, Connection, Server};
//! use reagent_layers::relay::relay;
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpStream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let shout = Server::bind("127.0.0.1:0")
//!     .start(reagent::handle(|mut conn: Connection| async move {
//!         let mut text = String::new();
//!         conn.read_to_string(&mut text).await?;
//!         conn.write_all(text.to_uppercase().as_bytes()).await
//!     }))
//!     .await?;
//! let to = shout.local_addr().socket_addr().expect("a TCP address");
//!
//! let proxy = Server::bind("127.0.0.1:0")
//!     .start(reagent::handle(move |conn: Connection| async move {
//!         relay(conn, TcpStream::connect(to).await?).await?;
//!         Ok::<_, BoxError>(())
//!     }))
//!     .await?;
//!
//! let mut client = TcpStream::connect(proxy.local_addr().to_string()).await?;
//! client.write_all(b"is anybody there?").await?;
//! client.shutdown().await?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "IS ANYBODY THERE?");
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! ## When a side fails
//!
//! A side fails by a reset, by a time-out of the system, or (with strict TLS) by an end without
//! `close_notify`. What it sent before then is read, written to the other side and flushed. On Linux the relay then
//! waits until the other system has acknowledged everything, since a reset would throw away what is still
//! queued, and only then resets the other side. Whatever that side sends meanwhile is discarded. A side that
//! takes nothing for 30 seconds ([`Relay::delivery_timeout`]) is reset at once.
//!
//! - A side that had sent an orderly end before it failed ends in order at the other side, too: that one gets
//!   everything, then the end.
//! - Unix sockets know no reset. What was written is with the peer already, and it reads an end after it.
//! - On systems other than Linux the queue is not known, and the other side gets everything, then an
//!   orderly end.
//! - Receivers other than Linux may throw away what they have not read when a reset comes.
//!
//! A side whose end was passed on before it was lost can be given nothing any more: what the other side still
//! says is for nobody, and that side is closed as soon as its system has everything.
//!
//! When the future is dropped (by a time limit, an abort, or a drain's deadline) both sides are reset **at once**.
//! What the systems have queued then is lost, and neither side can take what it has for the whole.
//!
//! ## Beside HAProxy and nginx
//!
//! The gateway example is compared with HAProxy 2.6 and nginx 1.22 (`stream`) in the tests, with the same client
//! and upstream. Each delivers what it read before an orderly end. They differ in:
//!
//! | what happens | relay | HAProxy | nginx |
//! |---|---|---|---|
//! | the upstream resets; what it sent before | delivered | delivered | delivered |
//! | … and how the client's stream ends | reset | FIN | FIN |
//! | the client resets; what it sent before | delivered | up to half of 6 MB lost if the upstream is slow | delivered |
//! | … and how the upstream's stream ends | reset | reset or FIN | FIN |
//! | an orderly end towards a TLS client | `close_notify`, FIN | FIN, mostly after `close_notify` | FIN |
//!
//! ## What is counted
//!
//! [`Relayed`] and the connection's `bytes_written` count bytes that the system has taken. They are the
//! bytes that were delivered, except where a side was reset at once: by a dropped future, by the delivery
//! timeout, or by the peer itself. There up to a send queue of the counted bytes (some megabytes) was lost.
//!
//! # Errors
//!
//! [`RelayError`] names the side that failed; its source is the I/O error. A handler that returns it
//! ends the connection as [`Outcome::Failed`](reagent::Outcome::Failed), or as
//! [`Outcome::Disconnected`](reagent::Outcome::Disconnected) where the client is the side that failed.

mod deliver;
mod error;
mod future;
mod reset_guard;
mod send_queue;
mod transfer;

pub use crate::io::Resettable;
pub use error::RelayError;
pub use future::{Relay, Relayed, relay};
