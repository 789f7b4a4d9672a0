//! Bytes that are under way.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::Instant,
};

/// The maximum number of bytes under way.
const UNDER_WAY: usize = 64 * 1024;
/// The maximum size of one read.
const READ: usize = 4096;

/// Bytes that were read from the stream and that the handler does not see yet.
#[derive(Default)]
pub(super) struct Delayed {
    /// Each with its time of arrival, though none arrives before the one ahead. An empty one is the
    /// end.
    pieces: VecDeque<(Instant, io::Result<Vec<u8>>)>,
    bytes: usize,
    is_ended: bool,
}

impl Delayed {
    /// Reads what is there. `arrival` returns the time at which it arrives.
    pub(super) fn take_in(
        &mut self,
        io: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
        mut arrival: impl FnMut() -> Instant,
    ) {
        while !self.is_ended && self.bytes < UNDER_WAY {
            let mut piece = [0; READ];
            let mut buf = ReadBuf::new(&mut piece);
            let Poll::Ready(read) = Pin::new(&mut *io).poll_read(cx, &mut buf) else {
                return;
            };
            let piece = read.map(|()| buf.filled().to_vec());
            let len = piece.as_ref().map_or(0, Vec::len);
            self.is_ended = len == 0;
            self.bytes += len;
            self.pieces.push_back((arrival(), piece));
        }
    }

    /// Returns the time at which the first piece arrives.
    pub(super) fn arrives(&self) -> Option<Instant> {
        self.pieces.front().map(|(at, _)| *at)
    }

    /// Hands out up to `most` bytes that have arrived, or the end of the stream.
    pub(super) fn hand_out(&mut self, buf: &mut ReadBuf<'_>, most: usize) -> io::Result<()> {
        let (now, mut left) = (Instant::now(), most.min(buf.remaining()));
        let before = left;
        while let Some((at, piece)) = self.pieces.front_mut() {
            if *at > now || left == 0 {
                break;
            }
            let bytes = match piece {
                Ok(bytes) if !bytes.is_empty() => bytes,
                _ if left < before => break,
                // An end stays the end, and an error is returned once and followed by the end.
                end => return std::mem::replace(end, Ok(Vec::new())).map(drop),
            };
            let n = bytes.len().min(left);
            buf.put_slice(&bytes[..n]);
            bytes.drain(..n);
            left -= n;
            self.bytes -= n;
            if bytes.is_empty() {
                self.pieces.pop_front();
            }
        }
        Ok(())
    }
}
