//! Relays bytes between a connection and an upstream in both directions until both have ended.
//!
//! # When to use it
//!
//! Use it in the handler of a proxy: a gateway in front of a database, a SOCKS server, a router by
//! server name. It replaces [`tokio::io::copy_bidirectional`] and adds what a proxy needs:
//!
//! - A buffer is held only while there are bytes in it, so an idle connection holds none.
//! - On Linux, large amounts of bytes do not pass through the program, as described
//!   [below](#zero-copy).
//! - The end of one direction (a half-close) is passed on, and the other direction continues.
//! - What a side sent before it failed is still delivered, as described
//!   [below](#when-a-side-fails).
//! - The failure of one side is passed on as a reset. An orderly end would make half a response
//!   look complete.
//!
//! # Position in the stack
//!
//! The relay is not a layer. It is called by the handler, and so is innermost: TLS, time limits and
//! bandwidth limits around the handler apply to the client's side.
//!
//! While both sides are alive, the relay itself has no time limit. To close idle connections, add a
//! `timeout::TimeoutsLayer` to the stack.
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
//! [`Relay::run_until`] has an example of a proxy that closes its idle connections when its server
//! drains.
//!
//! # Details
//!
//! ## When a side fails
//!
//! A side fails when its connection is reset, when the operating system gives it up after a
//! timeout, or, with `TlsLayer::require_close_notify`, when it ends without `close_notify`. The
//! relay then delivers what that side sent before the failure:
//!
//! 1. It reads the rest, writes it to the other side and flushes it.
//! 2. On Linux, it waits until the other side's system has acknowledged everything, since a reset
//!    discards whatever is still queued.
//! 3. It resets the other side.
//!
//! Meanwhile, whatever the other side sends is discarded. If the other side accepts nothing for 30
//! seconds ([`Relay::delivery_timeout`]), it is reset at once.
//!
//! In some cases the other side sees a different end:
//!
//! - If the failed side had already sent an orderly end, the other side receives everything and
//!   then an orderly end.
//! - Unix sockets have no reset. What was written is already with the peer, which reads it and then
//!   an end.
//! - On systems other than Linux the relay cannot see the send queue. The other side receives
//!   everything and then an orderly end.
//! - A receiver on a system other than Linux may discard what it has not read when the reset
//!   arrives.
//!
//! If a side fails after its orderly end was passed on, nothing more can be delivered to it.
//! Whatever the other side still sends is discarded until it ends, for up to 5 seconds, and then the
//! other side is closed. What was queued for it is delivered, unless that takes longer and it goes on
//! sending: data that arrives for a closed socket resets it.
//!
//! If the relay's future is dropped, by a time limit, an abort or the deadline of a drain, both
//! sides are reset **at once**. Bytes queued in the systems are lost, and neither side can mistake
//! what it has received for the whole.
//!
//! ## Zero copy
//!
//! Once reads return 32 KiB or more, the kernel moves the bytes from one socket to the other through
//! a pipe (`splice(2)`), which takes less than half the CPU time per byte of a copy. Small messages
//! go through buffers, which cost less for them, and so does everything if one of these conditions
//! is not met:
//!
//! - The system is Linux.
//! - The client's stream is a TCP or Unix socket, and every layer around it was added by
//!   [`map_io_passthrough`](reagent::Connection::map_io_passthrough), as those of the modules
//!   `bandwidth`, `proxy_protocol`, `sniff` and `timeout` are. They count and limit the bytes as
//!   before. TLS needs the bytes in memory.
//! - The upstream is a socket as well: see [`Resettable::plain`].
//! - There is a pipe. Pipes of 256 KiB are shared by all relays, and a direction holds one only
//!   while bytes flow, or while there are bytes in it for a peer that does not read. A process has
//!   at most 256, and never takes more than 1 in 16 of its descriptors (`RLIMIT_NOFILE`) for them.
//!   If the system refuses a pipe or its size (see `pipe-user-pages-soft` in `pipe(7)`), the
//!   relay continues with buffers, and tries again later. Each thread keeps up to 16 empty pipes.
//!
//! Whatever this page promises holds for bytes in pipes too: they are delivered when a side fails,
//! and are lost when the relay's future is dropped.
//!
//! The kernel could also encrypt (kTLS), so that the bytes of TLS connections could be spliced. That
//! needs a kernel module that many systems do not load, and session keys that leave rustls, and the
//! program would have to handle key updates and alerts beside the data. It is not supported.
//!
//! ## Comparison with HAProxy and nginx
//!
//! The test suite runs the gateway example, HAProxy 2.6 and nginx 1.22 (`stream`) between the same
//! client and upstream. All three deliver what they read before an orderly end. They differ in
//! these cases:
//!
//! | event | relay | HAProxy | nginx |
//! |---|---|---|---|
//! | the upstream resets: what it sent before | delivered | delivered | delivered |
//! | the upstream resets: end of the client's stream | reset | FIN | FIN |
//! | the client resets: what it sent before | delivered | up to half of 6 MB lost if the upstream is slow | delivered |
//! | the client resets: end of the upstream's stream | reset | reset or FIN | FIN |
//! | orderly end towards a TLS client | `close_notify`, FIN | FIN, mostly after `close_notify` | FIN |
//!
//! ## Byte counts
//!
//! [`Relayed`] and the connection's `bytes_written` count the bytes that the operating system has
//! accepted. All of them were delivered, unless a side was reset at once: by dropping the future,
//! by the delivery timeout, or by the peer itself. In those cases, up to a full send queue of the
//! counted bytes (a few megabytes) was lost.
//!
//! # Errors
//!
//! [`RelayError`] names the side that failed, and its source is the I/O error. A handler that
//! returns it ends the connection as [`Outcome::Disconnected`](reagent::Outcome::Disconnected) if
//! the client failed, and otherwise as [`Outcome::Failed`](reagent::Outcome::Failed).

mod deliver;
mod error;
mod future;
#[cfg_attr(not(target_os = "linux"), path = "no_pipe.rs")]
mod pipe;
mod reset_guard;
mod send_queue;
mod side;
mod transfer;

pub use crate::io::{PlainSocket, Resettable};
pub use error::RelayError;
pub use future::{Relay, Relayed, relay};
