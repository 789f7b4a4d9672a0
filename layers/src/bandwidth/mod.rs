//! Limits the bytes per second of each connection, of each client and of all together, and the
//! total bytes of a connection.
//!
//! # When to use it
//!
//! Use it when a single client could take all of the bandwidth, or when traffic costs money. The
//! `limit` layers share out connections; this layer shares out bandwidth.
//!
//! # Position in the stack
//!
//! Outside of TLS, it counts the bytes on the wire; inside of TLS, the bytes that the handler reads
//! and writes. Behind a proxy, a per-client limit belongs inside `proxy_protocol`, which determines
//! the client's address.
//!
//! A time limit inside of this layer cannot tell a handler that waits for its turn from one that
//! waits for its client. With `timeout::TimeoutsLayer` outside of this layer, waiting for a turn is
//! no stall. In either case, the minimum rate of the time limits (`min_rate`) has to be lower than
//! the rate set here.
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use reagent_layers::bandwidth::{BandwidthLayer, BandwidthLimits, Rate, Rates};
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, time::Instant};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let limits = BandwidthLimits::new()
//!     .per_connection(Rates::write(Rate::new(10_000)))
//!     .total(Rate::new(1_000_000).burst(500_000));
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .layer(BandwidthLayer::new(limits.clone()))
//!     .start(reagent::handle(|mut conn: Connection| async move {
//!         conn.write_all(&[0; 51_000]).await
//!     }))
//!     .await?;
//!
//! let mut client = clients.connect().await?;
//! let began = Instant::now();
//! client.read_to_end(&mut Vec::new()).await?;
//! // What goes in a tenth of a second is sent at once, and the rest at the rate.
//! assert_eq!(began.elapsed().as_secs(), 5);
//!
//! // Every limit can be changed while the server runs.
//! limits.set_per_connection(Rates::NONE);
//! let mut client = clients.connect().await?;
//! let began = Instant::now();
//! client.read_to_end(&mut Vec::new()).await?;
//! assert_eq!(began.elapsed().as_secs(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! A read or write uses the bytes that the limits allow now, and waits if they allow none. While a
//! read waits, TCP holds back the client; the layer buffers no more than one byte.
//!
//! Connections that wait under the same limit are served **first come, first served**, in turns. A
//! turn is at most 16 KiB, and at most what the rate yields in a tenth of a second. So of *n*
//! connections that always want more, each gets every *n*th turn and waits no longer than *n*
//! tenths of a second, whatever the size of its buffers and the speed of its client. What one
//! connection does not use is there for the others: a connection with nothing to read is not in the
//! queue, and an unused turn is given back. A client with more connections gets more turns, unless
//! clients are limited too.
//!
//! A client is an IPv4 address or an IPv6 /64. The address is that of the effective
//! [`peer_addr`](reagent::Connection::peer_addr), or, if a proxy relays for a client without an IP
//! address, that of the socket. Connections over Unix sockets have no IP address at all, and no
//! per-client limit.
//!
//! The end of the stream, errors, flushes and shutdowns are never delayed.
//!
//! A connection without any limit pays one atomic load for each read and write. If a limit has
//! plenty left, a connection takes some bytes in advance, so that it asks less often: up to 64 KiB,
//! but no more than a 1024th of what is left. It gives back what it has not used when it ends. Only
//! a connection that waits has a timer.
//!
//! The limits can be tried in a [`DryRun`](crate::DryRun) before they are enforced.
//!
//! # Errors
//!
//! A connection ends with [`Rejected`](reagent::Rejected) as soon as its client sends, or its
//! handler tries to send, one byte more than the quota. The reason is [`READ_QUOTA`],
//! [`WRITE_QUOTA`] or [`TOTAL_QUOTA`].
//!
//! The read or write of the handler fails with an [`io::Error`] of the kind
//! [`QuotaExceeded`](std::io::ErrorKind::QuotaExceeded), which contains the `Rejected`. Whatever
//! the handler does with that error, its future is dropped at the end of the poll in which this
//! happens, and the connection has this outcome. If the handler has passed its stream to another
//! task, nothing else happens.
//!
//! A rate never ends a connection.
//!
//! [`io::Error`]: std::io::Error

mod bucket;
mod future;
mod grant;
mod io;
mod layer;
mod limits;
mod quota;
mod rate;
mod service;
mod shared;
mod throttle;

pub use future::BandwidthFuture;
pub use io::BandwidthIo;
pub use layer::BandwidthLayer;
pub use limits::BandwidthLimits;
pub use quota::{READ_QUOTA, TOTAL_QUOTA, WRITE_QUOTA};
pub use rate::{Quota, READ_RATE, Rate, Rates, WRITE_RATE};
pub use service::Bandwidth;
