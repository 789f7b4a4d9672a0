//! Limits the bytes per second of a connection, of a client and of all, and the bytes of a connection in total.
//!
//! # When to use it
//!
//! When one client could take the whole line, or bytes cost money. What a limit of connections (`limit`) does
//! for places, this layer does for the line.
//!
//! # Position in the stack
//!
//! Outside of TLS it counts what goes over the wire; inside of TLS, what the handler reads and writes. Behind a
//! proxy a limit by client belongs inside the PROXY protocol.
//!
//! Time limits inside of it see a handler that waits for its turn as one that waits for its client. With
//! `timeout::TimeoutsLayer` outside of it, waiting for a turn is no stall; but its minimum rate
//! (`min_rate`) has to be less than this one in any case.
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
//! // A tenth of a second's worth at once, and the rest at the rate.
//! assert_eq!(began.elapsed().as_secs(), 5);
//!
//! // Every limit can be changed while it holds.
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
//! A read or write takes as many bytes as there are, and waits where there are none; so TCP holds back the
//! client, and nothing is buffered but one byte. Connections that wait for bytes of their client or of all are served
//! **first come, first served**, with turns of 16 KiB at most, and of what goes in a tenth of a second: of *n*
//! connections that always want more, each has one turn in *n*, whatever its buffers and however fast its
//! client, and waits no longer than *n* tenths of a second. What one leaves, others have: a connection with nothing
//! to read is not in the queue, and a turn that is not used is given back. A client with more connections has
//! more turns, unless clients are limited too.
//!
//! A client is an IPv4 address or an IPv6 /64: that of the effective
//! [`peer_addr`](reagent::Connection::peer_addr), or, where a proxy relays for a client without an IP address, that
//! of the socket. Connections over Unix sockets have neither, and no limit by client.
//!
//! The end of a stream, errors, flush and shutdown are never delayed. A connection under no limit pays one
//! look at a number for each read and write. Where there is plenty, a connection takes up to 64 KiB in advance, and
//! at most a 1024th of what there is, so that it asks less often; it gives back what is left at its end. Only a
//! connection that waits has a timer.
//!
//! # Errors
//!
//! [`Rejected`](reagent::Rejected) with the reason [`READ_QUOTA`], [`WRITE_QUOTA`] or [`TOTAL_QUOTA`], when the client
//! sends, or the handler wants to send, a byte more than the quota has. The handler gets it inside an
//! [`io::Error`] of the kind [`QuotaExceeded`](std::io::ErrorKind::QuotaExceeded), and whatever it makes of that, its
//! future is dropped then and the connection has this outcome. A stream that was given away ends by the
//! error alone.
//!
//! Rates end no connection.
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
pub use rate::{Quota, Rate, Rates};
pub use service::Bandwidth;
