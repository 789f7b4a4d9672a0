//! Carries bytes between a connection and an upstream, both ways, until both have ended.
//!
//! # When you want it
//!
//! At the end of every proxy: a gateway in front of a database, SOCKS, a router by server name. It is what
//! [`tokio::io::copy_bidirectional`] does, with what a proxy needs besides:
//!
//! - a buffer is held only while there are bytes in it, so an idle connection costs none;
//! - the failure of one side is passed on as a reset, not as an orderly end that would make half an answer
//!   look whole; and a reset leaves no `TIME_WAIT` behind. What a time limit or an abort cuts off is reset on both
//!   sides for the same reason, and because a client that takes nothing would leave the system with megabytes of
//!   an answer that nobody counts any more;
//! - what a side has sent before it failed still arrives, such as the last words of a server that closes
//!   while it is sent to.
//!
//! The end of one direction (a half-close) is passed on, and the other direction goes on.
//!
//! # Where in the stack
//!
//! At its end: it is what a handler does. TLS, time limits and rates around it hold for the client's side.
//! It has no time limit of its own, so that an idle limit belongs into the stack; see `timeout`.
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
//! # Errors
//!
//! [`RelayError`] names the side that failed. A handler that returns it ends the connection as
//! [`Outcome::Failed`](reagent::Outcome::Failed).

mod copy;
mod scratch;
mod sides;

use copy::Copy;
use reagent::{Connection, IoStream};
pub use sides::Resettable;
use sides::Sides;
use std::{
    error::Error,
    fmt,
    future::poll_fn,
    io,
    task::{Context, Poll},
};

/// How many bytes a [`relay`] has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Relayed {
    /// From the client to the upstream.
    pub to_upstream: u64,
    /// From the upstream to the client.
    pub to_client: u64,
}

/// Which side failed before both directions had ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum RelayError {
    /// The client. The upstream was reset.
    Client(io::Error),
    /// The upstream. The client was reset.
    Upstream(io::Error),
}

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RelayError::Client(error) => write!(f, "lost the client: {error}"),
            RelayError::Upstream(error) => write!(f, "lost the upstream: {error}"),
        }
    }
}

impl Error for RelayError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            RelayError::Client(error) | RelayError::Upstream(error) => Some(error),
        }
    }
}

/// Carries bytes both ways until both sides have ended.
///
/// While a side does not take what is sent to it, at most 64 KiB are held for it, and no more is read.
///
/// # Errors
///
/// The side that failed. The other is reset then; what it was to get and could not be written is lost.
///
/// # Cancel safety
///
/// None: dropped before it is done, by a time limit or an abort, it resets both sides.
pub async fn relay<Io, U>(conn: Connection<Io>, upstream: U) -> Result<Relayed, RelayError>
where
    Io: IoStream,
    U: IoStream + Resettable,
{
    let mut sides = Sides::new(conn, upstream);
    let mut both = Both::default();
    let ended = poll_fn(|cx| both.poll(cx, &mut sides.client, &mut sides.upstream)).await;
    match &ended {
        Ok(()) => {
            sides.leave_client();
            sides.leave_upstream();
        }
        Err(RelayError::Upstream(_)) => {}
        // It may be reading still, as a TLS client that has closed its half without a word does.
        Err(RelayError::Client(_)) => sides.leave_client(),
    }
    ended.map(|()| Relayed {
        to_upstream: both.up.copied(),
        to_client: both.down.copied(),
    })
}

/// Both directions.
#[derive(Default)]
struct Both {
    up: Copy,
    down: Copy,
}

impl Both {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut impl IoStream,
        upstream: &mut impl IoStream,
    ) -> Poll<Result<(), RelayError>> {
        let mut scratch = scratch::take();
        let up = self.up.poll(cx, client, upstream, &mut scratch);
        let down = self.down.poll(cx, upstream, client, &mut scratch);
        scratch::give_back(scratch);

        // Nothing more comes of a side that cannot be read. One that only cannot be written to may have
        // sent something before, so there the other direction goes on until it finds the end of that.
        match (up, down) {
            (Poll::Ready(Err(error)), _) => Poll::Ready(Err(RelayError::Client(error))),
            (_, Poll::Ready(Err(error))) => Poll::Ready(Err(RelayError::Upstream(error))),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => {
                let up = self.up.broken().map(RelayError::Upstream);
                let down = self.down.broken().map(RelayError::Client);
                Poll::Ready(up.or(down).map_or(Ok(()), Err))
            }
            _ => Poll::Pending,
        }
    }
}
