//! The relay: both directions together.

use super::{
    RelayError, Resettable,
    deliver::deliver,
    reset_guard::ResetGuard,
    send_queue::{self, SendQueue},
    side::Side,
    transfer::{Failure, Transfer},
};
use crate::io::buffers;
use bytes::BytesMut;
use reagent::{Connection, IoStream};
use std::{
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// The number of bytes relayed in each direction, after both have ended in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Relayed {
    /// Bytes from the client to the upstream.
    pub to_upstream: u64,
    /// Bytes from the upstream to the client.
    pub to_client: u64,
}

/// Relays bytes in both directions until both sides have ended, with the default settings of
/// [`Relay`].
///
/// # Errors
///
/// Returns a [`RelayError`] that names the side that failed. By then, what that side sent before
/// the failure has been delivered to the other side, unless the other side did not accept it within
/// the delivery timeout of 30 s.
///
/// # Cancel safety
///
/// Not cancel safe. Dropping the future before it completes, as a time limit or an abort does,
/// resets both sides at once.
pub async fn relay<Io, U>(conn: Connection<Io>, upstream: U) -> Result<Relayed, RelayError>
where
    Io: IoStream,
    U: IoStream + Resettable,
{
    Relay::new().run(conn, upstream).await
}

/// A relay between a connection and an upstream, with its settings.
#[derive(Clone, Debug)]
#[must_use]
pub struct Relay {
    delivery_timeout: Duration,
    quiet: Duration,
}

impl Default for Relay {
    fn default() -> Self {
        Relay {
            delivery_timeout: Duration::from_secs(30),
            quiet: Duration::from_secs(1),
        }
    }
}

impl Relay {
    /// Creates a relay with the default settings: delivery timeout 30 s, quiet time 1 s.
    pub fn new() -> Self {
        Relay::default()
    }

    /// Sets how long a side may stall while it is sent the data that is left for it after the other
    /// side has failed. The default is 30 s, long enough for TCP to retransmit several times.
    ///
    /// A side stalls while it accepts nothing at all. When the time is up, the side is reset at
    /// once and the rest is lost. A whole delivery takes at most ten times this limit, so that a
    /// peer that accepts a little now and then cannot hold a relay forever.
    pub fn delivery_timeout(mut self, limit: Duration) -> Self {
        self.delivery_timeout = limit;
        self
    }

    /// Sets how long both sides must be silent before [`run_until`](Self::run_until) ends a relay
    /// that was asked to stop. The default is 1 s, which is longer than most round trips.
    pub fn quiet(mut self, time: Duration) -> Self {
        self.quiet = time;
        self
    }

    /// Relays bytes in both directions until both sides have ended.
    ///
    /// If a side does not accept what is sent to it, the relay stops reading from the other side. It
    /// then holds at most a buffer of 64 KiB, or a [pipe](super#zero-copy) of 256 KiB.
    ///
    /// # Errors
    ///
    /// Returns a [`RelayError`] that names the side that failed. By then, what that side sent
    /// before the failure has been delivered to the other side, unless the other side did not
    /// accept it within [`delivery_timeout`](Self::delivery_timeout).
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe. Dropping the future before it completes, as a time limit or an abort does,
    /// resets both sides at once.
    pub async fn run<Io, U>(&self, conn: Connection<Io>, upstream: U) -> Result<Relayed, RelayError>
    where
        Io: IoStream,
        U: IoStream + Resettable,
    {
        self.run_until(conn, upstream, pending::<()>()).await
    }

    /// Relays bytes in both directions until both sides have ended, or are idle after `stop`.
    ///
    /// Once `stop` has resolved, the relay waits until neither side has sent anything for the time
    /// set with [`quiet`](Self::quiet), and then closes both sides in order. A side that has yet to
    /// accept data does not count as idle. Use this to close idle connections when a server drains.
    ///
    /// # Errors
    ///
    /// The same as [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// The same as [`run`](Self::run).
    ///
    /// The relay does not know the protocol. If one side pauses for longer than the quiet time in the
    /// middle of a message, the message is cut off by an orderly end. A client whose protocol marks
    /// the end of a message only by the end of the stream takes it for complete; set a quiet time that
    /// is longer than such pauses.
    ///
    /// # Example
    ///
    /// A proxy whose connections close in order, once they are idle, when its server drains:
    ///
    /// ```
    /// use reagent::{BoxError, Connection, Server};
    /// use reagent_layers::relay::Relay;
    /// use std::time::Duration;
    /// use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpStream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// # let echo = Server::bind("127.0.0.1:0")
    /// #     .start(reagent::handle(|conn: Connection| async move {
    /// #         let (mut reader, mut writer) = tokio::io::split(conn);
    /// #         tokio::io::copy(&mut reader, &mut writer).await.map(drop)
    /// #     }))
    /// #     .await?;
    /// # let to = echo.local_addr().socket_addr().expect("a TCP address");
    /// let proxy = Server::bind("127.0.0.1:0")
    ///     .start(reagent::handle(move |conn: Connection| async move {
    ///         let upstream = TcpStream::connect(to).await?;
    ///         let draining = conn.draining();
    ///         let relay = Relay::new().quiet(Duration::from_millis(100));
    ///         relay.run_until(conn, upstream, draining).await?;
    ///         Ok::<_, BoxError>(())
    ///     }))
    ///     .await?;
    ///
    /// let mut client = TcpStream::connect(proxy.local_addr().to_string()).await?;
    /// client.write_u8(7).await?;
    /// assert_eq!(client.read_u8().await?, 7);
    ///
    /// let report = proxy.drain(Duration::from_secs(10)).await;
    /// assert_eq!((report.finished, report.aborted), (1, 0));
    /// assert_eq!(client.read(&mut [0]).await?, 0, "an orderly end");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run_until<Io, U>(
        &self,
        conn: Connection<Io>,
        upstream: U,
        stop: impl Future<Output = ()>,
    ) -> Result<Relayed, RelayError>
    where
        Io: IoStream,
        U: IoStream + Resettable,
    {
        let mut sides = ResetGuard::new(conn, upstream);
        let handle = sides.client.handle();
        let mut both = Both::default();
        let ended = {
            let mut stop = pin!(stop);
            let mut quiet = None;
            poll_fn(|cx| {
                let polled = both.poll(cx, &mut sides.client, &mut sides.upstream);
                // Whether a silent peer is at work is not known.
                let holds = both.settled().is_none().then_some(true);
                handle.set_busy(holds);
                if polled.is_ready() || both.is_stopped {
                    return polled;
                }
                if quiet.is_none() {
                    ready!(stop.as_mut().poll(cx));
                }
                let quiet = quiet.get_or_insert_with(|| Quiet::new(self.quiet, &both));
                ready!(quiet.poll(cx, &both));
                both.stop();
                both.poll(cx, &mut sides.client, &mut sides.upstream)
            })
            .await
        };
        let Both { up, down, .. } = &mut both;
        let ResetGuard {
            client, upstream, ..
        } = &mut sides;
        let limit = self.delivery_timeout;
        // Boxed, since few relays get here.
        match &ended {
            Ok(()) => {
                sides.disarm_client();
                sides.disarm_upstream();
            }
            // Clients often reset a connection once they have their answer.
            Err(RelayError::Client(_))
                if up.is_cut() && upstream.socket().is_some_and(send_queue::is_empty) =>
            {
                sides.disarm_client();
            }
            Err(RelayError::Client(_)) => {
                let queue = SendQueue::of_upstream(upstream);
                if Box::pin(deliver(up, client, upstream, queue, limit)).await {
                    sides.disarm_upstream();
                }
                // The client may still be reading, as a TLS client that has closed its half without
                // `close_notify` does.
                sides.disarm_client();
            }
            Err(RelayError::Upstream(_)) => {
                let queue = SendQueue::of_client(client);
                if Box::pin(deliver(down, upstream, client, queue, limit)).await {
                    sides.disarm_client();
                }
            }
        }
        ended.map(|()| Relayed {
            to_upstream: both.up.copied(),
            to_client: both.down.copied(),
        })
    }
}

/// Detects that neither side of a relay sends anything.
struct Quiet {
    time: Duration,
    timer: Pin<Box<Sleep>>,
    /// The value of [`Both::settled`] when the timer was set.
    settled: Option<u64>,
}

impl Quiet {
    fn new(time: Duration, both: &Both) -> Self {
        Quiet {
            time,
            timer: Box::pin(sleep(time)),
            settled: both.settled(),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, both: &Both) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let settled = both.settled();
            if settled.is_some() && settled == self.settled {
                return Poll::Ready(());
            }
            self.settled = settled;
            self.timer.as_mut().reset(Instant::now() + self.time);
        }
    }
}

/// Both directions.
#[derive(Default)]
struct Both {
    up: Transfer,
    down: Transfer,
    is_stopped: bool,
}

impl Both {
    /// Returns the number of bytes written, or `None` while a side has yet to accept some.
    fn settled(&self) -> Option<u64> {
        let is_settled = !self.up.waits_for_writer() && !self.down.waits_for_writer();
        is_settled.then(|| self.up.copied() + self.down.copied())
    }

    fn stop(&mut self) {
        self.is_stopped = true;
        self.up.stop();
        self.down.stop();
    }

    /// Continues until both directions have ended or one side has failed.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut impl Side,
        upstream: &mut impl Side,
    ) -> Poll<Result<(), RelayError>> {
        let mut scratch = buffers::take_read();
        let polled = self.poll_with(cx, client, upstream, &mut scratch);
        buffers::give_read(scratch);
        polled
    }

    fn poll_with(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut impl Side,
        upstream: &mut impl Side,
        scratch: &mut BytesMut,
    ) -> Poll<Result<(), RelayError>> {
        let up = self.up.poll(cx, client, upstream, scratch);
        // What one direction learned about a side must be known before the other direction reads
        // from that side.
        if let Poll::Ready(Err(failure)) = up {
            return Poll::Ready(Err(match failure {
                Failure::Reader(error) => RelayError::Client(error),
                Failure::Writer(error) => {
                    self.down.expect_reset(&error);
                    RelayError::Upstream(error)
                }
            }));
        }
        let down = self.down.poll(cx, upstream, client, scratch);
        if let Poll::Ready(Err(failure)) = down {
            return Poll::Ready(Err(match failure {
                Failure::Reader(error) => RelayError::Upstream(error),
                Failure::Writer(error) => {
                    self.up.expect_reset(&error);
                    RelayError::Client(error)
                }
            }));
        }
        match up.is_ready() && down.is_ready() {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }
}
