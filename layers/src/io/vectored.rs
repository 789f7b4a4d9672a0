//! A vectored write of a limited number of bytes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::AsyncWrite;

/// The number of slices that are looked at; the caller comes again with the rest.
const SLICES: usize = 16;

/// How many bytes are in all of them.
pub(crate) fn len(bufs: &[IoSlice<'_>]) -> usize {
    bufs.iter()
        .fold(0, |len: usize, buf| len.saturating_add(buf.len()))
}

/// Writes the first `most` bytes of `bufs`, or fewer.
pub(crate) fn poll_write(
    io: Pin<&mut impl AsyncWrite>,
    cx: &mut Context<'_>,
    bufs: &[IoSlice<'_>],
    most: usize,
) -> Poll<io::Result<usize>> {
    let mut slices = [IoSlice::new(&[]); SLICES];
    let (mut left, mut count) = (most, 0);
    for buf in bufs.iter().filter(|buf| !buf.is_empty()) {
        if left == 0 || count == SLICES {
            break;
        }
        let part = &buf[..buf.len().min(left)];
        slices[count] = IoSlice::new(part);
        left -= part.len();
        count += 1;
    }
    io.poll_write_vectored(cx, &slices[..count])
}
