//! Vectored writes of a limited number of bytes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::AsyncWrite;

/// The number of slices written at once; the caller comes again with the rest.
const SLICES: usize = 16;

/// Returns the total length of the slices.
pub(crate) fn len(bufs: &[IoSlice<'_>]) -> usize {
    bufs.iter()
        .fold(0, |len: usize, buf| len.saturating_add(buf.len()))
}

/// Writes up to the first `most` bytes of `bufs`.
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
