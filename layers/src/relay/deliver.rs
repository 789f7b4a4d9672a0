//! Delivery of what is left after one side has failed.

use super::{
    send_queue::SendQueue,
    side::Side,
    transfer::{Failure, STEPS, Transfer},
};
use crate::io::buffers;
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::AsyncRead,
    time::{Instant, sleep, timeout},
};
use tokio_util::io::poll_read_buf;

/// The longest delivery, as a multiple of the delivery timeout. It keeps a peer that accepts a
/// little now and then from holding a relay forever.
const LONGEST: u32 = 10;

/// How long a side stays open that an end was passed on to, after it has last sent something.
const LINGER: Duration = Duration::from_secs(5);

/// Delivers to the `living` side what `dead` sent before it failed. Returns whether the `living`
/// side may be closed in order: either its peer has received an end, or an orderly close is the
/// only safe way to deliver the rest.
///
/// What the `living` side sends meanwhile is read and discarded. Otherwise a peer that writes
/// before it reads would block forever.
pub(super) async fn deliver(
    transfer: &mut Transfer,
    dead: &mut impl Side,
    living: &mut impl Side,
    queue: SendQueue,
    limit: Duration,
) -> bool {
    let longest = limit * LONGEST;
    let patience = match queue.set_stall_limit(limit) {
        true => longest,
        false => limit,
    };
    let mut input = Input::default();
    if !deliver_held(transfer, dead, living, &mut input, patience).await {
        return false;
    }
    if transfer.is_ended() {
        // A socket that was shut down is always writable, so its queue cannot be seen. The system
        // delivers what is queued after a close as well, unless data arrives for the closed socket:
        // then it resets the connection. So the socket stays open for a while if its peer may send.
        let silence = limit.min(LINGER);
        let _ = timeout(longest, input.over(living, silence)).await;
        return true;
    }
    let mut emptied = pin!(timeout(longest, queue.emptied()));
    let is_known = poll_fn(|cx| {
        let _ = input.poll(cx, living);
        emptied.as_mut().poll(cx)
    });
    // An orderly close is the only way to deliver the rest then.
    matches!(is_known.await, Ok(false))
}

/// Continues until everything is written and flushed, and returns whether that succeeded.
async fn deliver_held(
    transfer: &mut Transfer,
    dead: &mut impl Side,
    living: &mut impl Side,
    input: &mut Input,
    patience: Duration,
) -> bool {
    let mut timer = pin!(sleep(patience));
    let mut copied = None;
    poll_fn(|cx| {
        let mut scratch = buffers::take_read();
        let polled = loop {
            match transfer.poll(cx, dead, living, &mut scratch) {
                Poll::Ready(Err(Failure::Reader(_))) => {}
                polled => break polled,
            }
        };
        buffers::give_read(scratch);
        if let Poll::Ready(ended) = polled {
            return Poll::Ready(ended.is_ok() && !transfer.is_broken());
        }
        let _ = input.poll(cx, living);
        if !transfer.waits_for_writer() {
            copied = None;
            return Poll::Pending;
        }
        if copied != Some(transfer.copied()) {
            copied = Some(transfer.copied());
            timer.as_mut().reset(Instant::now() + patience);
        }
        timer.as_mut().poll(cx).map(|()| false)
    })
    .await
}

/// The input of a side whose peer is gone.
#[derive(Default)]
struct Input {
    is_over: bool,
    received: u64,
}

impl Input {
    /// Reads and discards until the end of the stream, or until nothing has come for some time.
    async fn over(&mut self, reader: &mut (impl AsyncRead + Unpin), silence: Duration) {
        let mut timer = pin!(sleep(silence));
        let mut received = self.received;
        poll_fn(|cx| {
            let is_over = self.poll(cx, reader).is_ready();
            if self.received > received {
                received = self.received;
                timer.as_mut().reset(Instant::now() + silence);
            }
            match is_over {
                true => Poll::Ready(()),
                false => timer.as_mut().poll(cx),
            }
        })
        .await;
    }

    /// Reads and discards until the end of the stream.
    fn poll(&mut self, cx: &mut Context<'_>, reader: &mut (impl AsyncRead + Unpin)) -> Poll<()> {
        let mut scratch = buffers::take_read();
        let polled = self.poll_steps(cx, Pin::new(reader), &mut scratch);
        buffers::give_read(scratch);
        polled
    }

    fn poll_steps(
        &mut self,
        cx: &mut Context<'_>,
        mut reader: Pin<&mut impl AsyncRead>,
        scratch: &mut bytes::BytesMut,
    ) -> Poll<()> {
        for _ in 0..STEPS {
            if self.is_over {
                return Poll::Ready(());
            }
            scratch.clear();
            buffers::make_room(scratch);
            let read = ready!(poll_read_buf(reader.as_mut(), cx, scratch));
            self.is_over = !matches!(read, Ok(1..));
            self.received += read.map_or(0, |n| n as u64);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt, duplex};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_side_stays_open_as_long_as_it_sends() {
        for (messages, seconds) in [(0, 5), (1, 9), (10, 45)] {
            let (mut peer, mut reader) = duplex(10);
            let began = Instant::now();
            let sending = async {
                for _ in 0..messages {
                    sleep(4 * SECOND).await;
                    peer.write_all(b"still here").await.unwrap();
                }
            };
            let mut input = Input::default();
            tokio::join!(sending, input.over(&mut reader, 5 * SECOND));
            let took = began.elapsed();
            let expected = seconds * SECOND;
            assert!(took >= expected && took < expected + SECOND, "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_has_ended_is_not_waited_for() {
        let (peer, mut reader) = duplex(10);
        let began = Instant::now();
        drop(peer);
        Input::default().over(&mut reader, 5 * SECOND).await;
        assert!(began.elapsed() < SECOND);
    }
}
