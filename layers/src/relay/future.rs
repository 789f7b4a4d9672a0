//! Both directions.

use super::{
    RelayError, Resettable,
    deliver::deliver,
    reset_guard::ResetGuard,
    send_queue::SendQueue,
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

/// The numbers of bytes that a relay has carried, once both directions have ended in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Relayed {
    /// From the client to the upstream.
    pub to_upstream: u64,
    /// From the upstream to the client.
    pub to_client: u64,
}

/// Carries bytes both ways until both sides have ended; [`Relay::run`] with the default settings.
///
/// # Errors
///
/// Returns the side that failed, once the other has everything that came before the failure.
///
/// # Cancel safety
///
/// Not cancel safe: dropped before it is done, by a time limit or an abort, it resets both sides at once.
pub async fn relay<Io, U>(conn: Connection<Io>, upstream: U) -> Result<Relayed, RelayError>
where
    Io: IoStream,
    U: IoStream + Resettable,
{
    Relay::new().run(conn, upstream).await
}

/// The settings of a relay.
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
    /// Returns the default settings.
    pub fn new() -> Self {
        Relay::default()
    }

    /// Sets how long a side may take nothing of what is left for it after the other side has failed. Then
    /// it is reset at once, and the rest is lost. Default 30 s; no delivery takes longer than ten times that.
    pub fn delivery_timeout(mut self, limit: Duration) -> Self {
        self.delivery_timeout = limit;
        self
    }

    /// Sets for how long neither side says anything before [`run_until`](Self::run_until) ends a relay that is to
    /// stop. Default 1 s.
    pub fn quiet(mut self, time: Duration) -> Self {
        self.quiet = time;
        self
    }

    /// Carries bytes both ways until both sides have ended.
    ///
    /// While a side does not take what is sent to it, at most one buffer of 64 KiB is held for it, and
    /// no more is read.
    ///
    /// # Errors
    ///
    /// Returns the side that failed, once the other has everything that came before the failure, or does not
    /// take it within [`delivery_timeout`](Self::delivery_timeout).
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: dropped before it is done, by a time limit or an abort, it resets both sides at once.
    pub async fn run<Io, U>(&self, conn: Connection<Io>, upstream: U) -> Result<Relayed, RelayError>
    where
        Io: IoStream,
        U: IoStream + Resettable,
    {
        self.run_until(conn, upstream, pending::<()>()).await
    }

    /// Carries bytes both ways until both sides have ended, or, once `stop` has resolved, until neither side
    /// has said anything for [`quiet`](Self::quiet): then both are closed in order.
    ///
    /// For a proxy that lets connections go which do nothing, such as when a server drains. A side that
    /// does not take what there is for it is not quiet.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
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
        let mut both = Both::default();
        let ended = {
            let mut stop = pin!(stop);
            let mut quiet = None;
            poll_fn(|cx| {
                let polled = both.poll(cx, &mut sides.client, &mut sides.upstream);
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
        // Deliveries are in a box, since few relays come to one.
        match &ended {
            Ok(()) => {
                sides.disarm_client();
                sides.disarm_upstream();
            }
            Err(RelayError::Client(_)) => {
                let queue = SendQueue::of_upstream(upstream);
                if Box::pin(deliver(up, client, upstream, queue, limit)).await {
                    sides.disarm_upstream();
                }
                // It may be reading still, as a TLS client that has closed its half without a word does.
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

/// Finds out that neither side of a relay says anything.
struct Quiet {
    time: Duration,
    timer: Pin<Box<Sleep>>,
    /// What [`Both::settled`] was when the timer was set.
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
    /// The number of bytes written, unless a side is still to take some.
    fn settled(&self) -> Option<u64> {
        let is_settled = !self.up.waits_for_writer() && !self.down.waits_for_writer();
        is_settled.then(|| self.up.copied() + self.down.copied())
    }

    fn stop(&mut self) {
        self.is_stopped = true;
        self.up.stop();
        self.down.stop();
    }

    /// Goes on until both directions have ended, or one side has failed.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut impl IoStream,
        upstream: &mut impl IoStream,
    ) -> Poll<Result<(), RelayError>> {
        let mut scratch = buffers::take_read();
        let polled = self.poll_with(cx, client, upstream, &mut scratch);
        buffers::give_read(scratch);
        polled
    }

    fn poll_with(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut impl IoStream,
        upstream: &mut impl IoStream,
        scratch: &mut BytesMut,
    ) -> Poll<Result<(), RelayError>> {
        let up = self.up.poll(cx, client, upstream, scratch);
        // What the one direction found out of a side has to be known before the other reads from it.
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
