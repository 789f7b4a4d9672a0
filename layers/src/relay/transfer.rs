//! One direction of a relay.

use super::{pipe::Pipe, side::Side};
use crate::io::buffers;
use bytes::{Buf, BytesMut};
use std::{
    io, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio_util::io::poll_read_buf;

/// The number of reads and writes before other tasks get their turn: two buffers, so that a short
/// message and the end after it take one turn. A runtime thread looks for new events only once in
/// 61 turns (`tokio::runtime::Builder::event_interval`), and every other task waits for that long.
/// With 16 steps that was a tenth of a second beside two relays that carry TLS, and the cost per
/// byte was no lower.
pub(super) const STEPS: usize = 4;

/// A read of this many bytes is followed by one through a pipe, if both sides are direct. Fewer
/// bytes cost less in a buffer.
const BULK: usize = 32 * 1024;

/// The progress of one direction, and what was read and not yet written.
#[derive(Default)]
pub(super) struct Transfer {
    state: State,
    /// Holds bytes that come before those in `held`.
    pipe: Option<Box<Pipe>>,
    held: BytesMut,
    /// Set if `held` is a whole buffer.
    is_large: bool,
    /// Set if the last read returned so much that the next one may go through a pipe.
    is_bulk: bool,
    needs_flush: bool,
    copied: u64,
    /// Set if the reader was reset, so that the end that is read next is not an orderly one.
    is_reset: bool,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Flowing,
    /// The reader has ended, and the writer is shut down next.
    Ending,
    /// The writer was shut down.
    Ended,
    /// The reader failed: the writer gets what was read, and no orderly end.
    Cut,
    /// The writer failed.
    Broken,
}

/// The side that failed, and its error.
pub(super) enum Failure {
    Reader(io::Error),
    Writer(io::Error),
}

impl Transfer {
    /// Returns the number of bytes written.
    pub(super) fn copied(&self) -> u64 {
        self.copied
    }

    /// Returns whether the end of the reader was passed on.
    pub(super) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Returns whether the transfer is waiting for the writer, with bytes or an end to pass on,
    /// rather than for the reader.
    pub(super) fn waits_for_writer(&self) -> bool {
        match self.state {
            State::Flowing => self.needs_flush || self.holds_bytes(),
            State::Ending | State::Cut => true,
            State::Ended | State::Broken => false,
        }
    }

    /// Returns whether there are bytes that were read and not yet written.
    fn holds_bytes(&self) -> bool {
        !self.held.is_empty() || self.pipe.as_ref().is_some_and(|pipe| pipe.len() > 0)
    }

    /// Returns whether the reader failed, after everything that it sent was written and flushed.
    pub(super) fn is_cut(&self) -> bool {
        self.state == State::Cut && !self.needs_flush && !self.holds_bytes()
    }

    /// Returns whether the writer failed.
    pub(super) fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    /// Stops reading: the writer gets what is held, and then an end.
    pub(super) fn stop(&mut self) {
        if self.state == State::Flowing {
            self.state = State::Ending;
        }
    }

    /// Records how a write to the peer that is read from failed. The system reports the error of a
    /// reset socket only once. If a write received it, reads return the bytes that came before and
    /// then an end that is not an orderly one. If the peer had sent an orderly end before, writes
    /// fail with `BrokenPipe` instead.
    pub(super) fn expect_reset(&mut self, error: &io::Error) {
        self.is_reset = error.kind() == io::ErrorKind::ConnectionReset;
    }

    /// Continues until everything that was read is written and flushed, and the reader has ended.
    /// Each failure is reported once. After a failure of the reader, the next poll writes the rest.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut impl Side,
        writer: &mut impl Side,
        scratch: &mut BytesMut,
    ) -> Poll<Result<(), Failure>> {
        let polled = self.poll_steps(cx, reader, writer, scratch);
        if let Some(pipe) = self.pipe.take_if(|pipe| pipe.len() == 0) {
            pipe.give_back();
        }
        polled
    }

    fn poll_steps(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut impl Side,
        writer: &mut impl Side,
        scratch: &mut BytesMut,
    ) -> Poll<Result<(), Failure>> {
        for _ in 0..STEPS {
            let step = match self.state {
                State::Ended | State::Broken => return Poll::Ready(Ok(())),
                _ if self.holds_bytes() => ready!(self.poll_write(cx, writer, scratch)),
                State::Flowing => match self.poll_read(cx, reader, writer, scratch) {
                    Poll::Ready(Ok(())) => Ok(()),
                    Poll::Ready(Err(error)) => {
                        self.state = State::Cut;
                        return Poll::Ready(Err(Failure::Reader(error)));
                    }
                    // Nothing follows for now, so what was written should arrive.
                    Poll::Pending if self.needs_flush => {
                        match ready!(self.poll_flush(cx, writer)) {
                            Ok(()) => return Poll::Pending,
                            failed => failed,
                        }
                    }
                    Poll::Pending => return Poll::Pending,
                },
                State::Ending => ready!(Pin::new(&mut *writer).poll_shutdown(cx))
                    .map(|()| self.state = State::Ended),
                State::Cut if self.needs_flush => ready!(self.poll_flush(cx, writer)),
                State::Cut => return Poll::Ready(Ok(())),
            };
            if let Err(error) = step {
                self.held = BytesMut::new();
                self.pipe = None;
                self.state = State::Broken;
                return Poll::Ready(Err(Failure::Writer(error)));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads what is available, or detects the end.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut impl Side,
        writer: &impl Side,
        scratch: &mut BytesMut,
    ) -> Poll<io::Result<()>> {
        let pipe = match self.is_bulk {
            true => self.pipe.take().or_else(Pipe::borrow),
            false => None,
        };
        let read = match pipe {
            Some(pipe) => ready!(self.poll_fill(cx, reader, pipe))?,
            None => {
                buffers::make_room(scratch);
                let n = ready!(poll_read_buf(Pin::new(&mut *reader), cx, scratch))?;
                if n > 0 {
                    self.held = mem::take(scratch);
                    self.is_large = true;
                }
                self.is_bulk = n >= BULK && reader.is_direct() && writer.is_direct();
                n
            }
        };
        if read == 0 {
            self.state = match self.is_reset {
                true => State::Cut,
                false => State::Ending,
            };
        }
        Poll::Ready(Ok(()))
    }

    /// Reads into an empty pipe, and returns the number of bytes read.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut impl Side,
        mut pipe: Box<Pipe>,
    ) -> Poll<io::Result<usize>> {
        let mut rest = Vec::new();
        let polled = reader.poll_fill(cx, &mut pipe, &mut rest);
        self.pipe = Some(pipe);
        let moved = ready!(polled)?;
        self.is_bulk = moved >= BULK / 2;
        self.held = BytesMut::from(&rest[..]);
        self.is_large = false;
        Poll::Ready(Ok(moved + rest.len()))
    }

    /// Writes everything that is held, and releases its buffer.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut impl Side,
        scratch: &mut BytesMut,
    ) -> Poll<io::Result<()>> {
        while self.holds_bytes() {
            let pipe = self.pipe.as_deref_mut().filter(|pipe| pipe.len() > 0);
            let is_piped = pipe.is_some();
            let polled = match pipe {
                Some(pipe) => writer.poll_empty(cx, pipe),
                None => Pin::new(&mut *writer).poll_write(cx, &self.held),
            };
            let Poll::Ready(written) = polled else {
                self.hold_little(scratch);
                return Poll::Pending;
            };
            let n = written?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if !is_piped {
                self.held.advance(n);
            }
            self.copied += n as u64;
            self.needs_flush = true;
        }
        put_back(mem::take(&mut self.held), scratch);
        Poll::Ready(Ok(()))
    }

    /// Replaces a large buffer that holds a few bytes by a small one, since it may be held for a
    /// long time.
    fn hold_little(&mut self, scratch: &mut BytesMut) {
        if self.is_large && self.held.len() <= buffers::CHUNK / 4 {
            let little = BytesMut::from(&self.held[..]);
            put_back(mem::replace(&mut self.held, little), scratch);
            self.is_large = false;
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, writer: &mut impl Side) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(writer).poll_flush(cx));
        self.needs_flush = false;
        Poll::Ready(flushed)
    }
}

/// Keeps the capacity of `buffer` for the next read, unless there is some already.
fn put_back(mut buffer: BytesMut, scratch: &mut BytesMut) {
    if scratch.capacity() == 0 {
        buffer.clear();
        *scratch = buffer;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::Resettable;
    use std::{future::poll_fn, io::Cursor};
    use tokio::io::{
        AsyncReadExt, AsyncWriteExt, BufWriter, Join, duplex, empty, join, repeat, sink,
    };

    /// A stream without a socket.
    impl<R, W> Resettable for Join<R, W> {
        #[cfg(unix)]
        fn socket(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
            None
        }

        #[cfg(windows)]
        fn socket(&self) -> Option<std::os::windows::io::BorrowedSocket<'_>> {
            None
        }
    }

    /// A writer that takes ten bytes at a time has the rest kept in a small buffer, not in a large
    /// one.
    #[tokio::test]
    async fn a_few_bytes_are_held_in_a_small_buffer() {
        let sent: Vec<u8> = (0..100).collect();
        let mut reader = join(Cursor::new(sent.clone()), sink());
        let (writer, mut end) = duplex(10);
        let mut writer = join(empty(), writer);
        let mut transfer = Transfer::default();
        let mut scratch = BytesMut::new();
        let mut received = Vec::new();
        loop {
            let polled = poll_fn(|cx| {
                Poll::Ready(transfer.poll(cx, &mut reader, &mut writer, &mut scratch))
            });
            if polled.await.is_ready() {
                break;
            }
            assert!(scratch.capacity() > 0, "others can have the buffer");
            let held = transfer.held.capacity();
            assert!((1..=100).contains(&held), "{held} bytes are held");
            end.read_buf(&mut received).await.unwrap();
        }
        drop(writer);
        end.read_to_end(&mut received).await.unwrap();
        assert_eq!((received, transfer.copied()), (sent, 100));
    }

    /// A reader that always has more data gets its turn, and then other tasks get theirs.
    #[tokio::test]
    async fn a_turn_is_short() {
        let (mut reader, mut writer) = (join(repeat(1), sink()), join(empty(), sink()));
        let mut transfer = Transfer::default();
        let mut turns = 0;
        let three = poll_fn(|cx| {
            let polled = transfer.poll(cx, &mut reader, &mut writer, &mut BytesMut::new());
            assert!(polled.is_pending());
            turns += 1;
            // The next turn comes without a wakeup from outside.
            if turns < 3 {
                polled.map(drop)
            } else {
                Poll::Ready(())
            }
        });
        tokio::time::timeout(std::time::Duration::from_secs(20), three)
            .await
            .expect("three turns");
        let each = transfer.copied() / 3;
        assert!((1..=256 * 1024).contains(&each), "{each} bytes in a turn");
    }

    #[tokio::test]
    async fn written_bytes_are_flushed_when_nothing_follows() {
        let (mut client, reader) = duplex(10);
        let mut reader = join(reader, sink());
        let (writer, mut end) = duplex(10);
        let mut writer = join(empty(), BufWriter::new(writer));
        let mut transfer = Transfer::default();
        client.write_all(b"hello").await.unwrap();
        poll_fn(|cx| {
            let polled = transfer.poll(cx, &mut reader, &mut writer, &mut BytesMut::new());
            assert!(polled.is_pending());
            Poll::Ready(())
        })
        .await;
        let mut received = [0; 5];
        let reading = end.read_exact(&mut received);
        tokio::time::timeout(std::time::Duration::from_secs(20), reading)
            .await
            .expect("flushed")
            .unwrap();
        assert_eq!(&received, b"hello");
    }
}
