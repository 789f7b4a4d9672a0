//! Limits how many bytes go: a second, per connection, per client and in all, and of a connection until its end.
//!
//! # When
//!
//! When one client could have the line to itself, or bytes cost money. What a limit of connections
//! (`limit`) does for places, this does for the line.
//!
//! # Where in the stack
//!
//! Outside of TLS, so that what goes over the wire is what counts; inside of it, what the handler reads and
//! writes is. A limit by client goes by the effective [`peer_addr`](reagent::Connection::peer_addr), so behind a
//! proxy it belongs inside the PROXY protocol. A client is an IPv4 address or an IPv6 /64; those who have no IP
//! address, on Unix sockets, have no limit by client.
//!
//! Time limits inside of it see a handler that waits for its turn as one that waits for its client. With
//! `timeout::TimeoutsLayer` outside of it, a turn that is waited for is no stall; but its least rate
//! (`min_rate`) has to be less than this one in any case.
//!
//! # How it limits
//!
//! A read or write takes as many bytes as there are, and waits where there are none; so TCP holds back the
//! client, and nothing is buffered but one byte. Who waits for bytes of its client or of all does so **in the
//! order of coming**, for a turn of 16 KiB at most, and of what goes in a tenth of a second: of *n* connections
//! that always want more, each has one turn in *n*, whatever its buffers and however fast its client, and
//! waits no longer than *n* tenths of a second. What one leaves, others have: those who have nothing to read stand
//! in no line, and a turn that is not used is given back. A client with more connections has more turns,
//! unless clients are limited too.
//!
//! The end of a stream, errors, flush and shutdown are never delayed. A connection under no limit pays
//! one look at a number for each read and write; one that is limited by itself takes no lock; and only one that
//! waits has a timer.
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
//! # Errors
//!
//! [`Rejected`](reagent::Rejected) for `read quota`, `write quota` or `total quota`, when the client sends, or the
//! handler wants to send, a byte more than the quota has. The handler gets it inside an [`io::Error`] of the kind
//! [`QuotaExceeded`](std::io::ErrorKind::QuotaExceeded), and whatever it makes of that, its future is dropped then
//! and the connection has this outcome. A stream that was given away ends by the error alone.
//!
//! Rates end nothing.
//!
//! [`io::Error`]: std::io::Error

mod bucket;
mod io;
mod limits;
mod quota;
mod rate;
mod throttle;

pub use io::BandwidthIo;
pub use limits::BandwidthLimits;
pub use quota::BandwidthFuture;
pub use rate::{Quota, Rate, Rates};

use crate::client::ip_of;
use quota::Spent;
use reagent::{BoxError, Connection, IoStream};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// A layer that limits bytes. Its clones, and other layers made of the same [`BandwidthLimits`], share the limits.
#[derive(Clone, Debug)]
pub struct BandwidthLayer {
    limits: BandwidthLimits,
}

impl BandwidthLayer {
    /// Limits by these.
    pub fn new(limits: BandwidthLimits) -> Self {
        BandwidthLayer { limits }
    }
}

impl<S> Layer<S> for BandwidthLayer {
    type Service = Bandwidth<S>;

    fn layer(&self, inner: S) -> Bandwidth<S> {
        Bandwidth {
            inner,
            limits: self.limits.clone(),
        }
    }
}

/// The service of a [`BandwidthLayer`]: ready when the service inside is.
#[derive(Clone, Debug)]
pub struct Bandwidth<S> {
    inner: S,
    limits: BandwidthLimits,
}

impl<S, Io> Service<Connection<Io>> for Bandwidth<S>
where
    S: Service<Connection<BandwidthIo<Io>>>,
    S::Error: Into<BoxError>,
    Io: IoStream,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BandwidthFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        let ip = ip_of(&conn);
        let quota = self.limits.shared.quota();
        let spent = (quota != Quota::NONE).then(|| Arc::new(Spent::new(quota)));
        let conn = conn.map_io(|io| BandwidthIo::new(io, &self.limits, ip, spent.clone()));
        BandwidthFuture::new(self.inner.call(conn), spent)
    }
}
