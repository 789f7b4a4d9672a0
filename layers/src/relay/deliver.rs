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

/// How long a side stays open, to whom an end was passed on, while it may still send.
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
        let over = poll_fn(|cx| input.poll(cx, living));
        let _ = timeout(limit.min(LINGER), over).await;
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
}

impl Input {
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
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
