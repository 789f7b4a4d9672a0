//! After the last answer: what the client still sends is read and thrown away for a moment.
//!
//! A socket that is closed with bytes in it that nobody has read resets its connection, and a reset takes the
//! answer from a client that has not read it yet: just the one who was told that its request is too large.

use std::{
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, ReadBuf};

/// How long such a client is listened to; nginx's `lingering_timeout` is 5 s.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// Reads at most so often in a row.
const READS: usize = 16;

pub(super) enum Discarded {
    /// The client has sent something that was not read.
    Some,
    /// It may yet.
    Nothing,
    /// It has sent all.
    End,
}

/// Throws away what there is.
pub(super) fn discard<Io: AsyncRead + Unpin>(io: &mut Io, cx: &mut Context<'_>) -> Discarded {
    let mut discarded = Discarded::Nothing;
    for _ in 0..READS {
        let mut space = [const { MaybeUninit::uninit() }; 4096];
        let mut buf = ReadBuf::uninit(&mut space);
        match Pin::new(&mut *io).poll_read(cx, &mut buf) {
            Poll::Pending => return discarded,
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => discarded = Discarded::Some,
            Poll::Ready(_) => return Discarded::End,
        }
    }
    // Others have their turn.
    cx.waker().wake_by_ref();
    discarded
}
