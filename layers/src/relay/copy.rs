//! One direction of a relay.

use super::scratch::{self, Buffer, Scratch};
use std::{
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How many reads and writes are done before others have their turn: two buffers, so that what is little is carried,
/// and found to be all, in one. A thread's runtime looks for new events only once in 61 turns
/// (`tokio::runtime::Builder::event_interval`), and so long everybody else waits: with 16 it was a tenth of a second
/// beside two that carry TLS, and a byte cost no less.
const STEPS: usize = 4;

/// How far one direction has come, and what was read of it and not yet written.
#[derive(Default)]
pub(super) struct Copy {
    state: State,
    held: Option<Buffer>,
    /// What of `held` is to be written.
    rest: Range<usize>,
    needs_flush: bool,
    copied: u64,
}

#[derive(Default)]
enum State {
    #[default]
    Flowing,
    /// All was read, and the writer is to be told.
    Ending,
    Ended,
    /// The writer takes nothing any more.
    Broken(Option<io::Error>),
}

impl Copy {
    /// How many bytes were written.
    pub(super) fn copied(&self) -> u64 {
        self.copied
    }

    /// Why the writer takes nothing any more.
    pub(super) fn broken(&mut self) -> Option<io::Error> {
        match &mut self.state {
            State::Broken(error) => error.take(),
            _ => None,
        }
    }

    /// Goes on until the reader has ended or the writer is broken. The only error is the reader's.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
        scratch: &mut Scratch,
    ) -> Poll<io::Result<()>> {
        let mut writer = Pin::new(writer);
        for _ in 0..STEPS {
            let step = match self.state {
                State::Flowing | State::Ending if self.held.is_some() => {
                    ready!(self.poll_write(cx, writer.as_mut(), scratch))
                }
                State::Flowing => match self.poll_read(cx, Pin::new(&mut *reader), scratch) {
                    Poll::Ready(read) => {
                        read?;
                        Ok(())
                    }
                    // Nothing follows for now, so what went before is to arrive.
                    Poll::Pending if self.needs_flush => {
                        match ready!(writer.as_mut().poll_flush(cx)) {
                            Ok(()) => {
                                self.needs_flush = false;
                                return Poll::Pending;
                            }
                            failed => failed,
                        }
                    }
                    Poll::Pending => return Poll::Pending,
                },
                State::Ending => {
                    ready!(writer.as_mut().poll_shutdown(cx)).map(|()| self.state = State::Ended)
                }
                State::Ended | State::Broken(_) => return Poll::Ready(Ok(())),
            };
            if let Err(error) = step {
                self.held = None;
                self.state = State::Broken(Some(error));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads what there is, or learns that nothing follows.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        reader: Pin<&mut impl AsyncRead>,
        scratch: &mut Scratch,
    ) -> Poll<io::Result<()>> {
        let buffer = scratch.get_or_insert_with(scratch::new_buffer);
        let mut buf = ReadBuf::new(buffer);
        ready!(reader.poll_read(cx, &mut buf))?;
        self.rest = 0..buf.filled().len();
        if self.rest.is_empty() {
            self.state = State::Ending;
        } else {
            self.held = scratch.take();
        }
        Poll::Ready(Ok(()))
    }

    /// Writes all that is held, and lets go of its buffer.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        mut writer: Pin<&mut impl AsyncWrite>,
        scratch: &mut Scratch,
    ) -> Poll<io::Result<()>> {
        while let Some(held) = &self.held {
            match writer.as_mut().poll_write(cx, &held[self.rest.clone()]) {
                Poll::Ready(written) => match written? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    n => {
                        self.rest.start += n;
                        self.copied += n as u64;
                        self.needs_flush = true;
                    }
                },
                Poll::Pending => {
                    self.hold_little(scratch);
                    return Poll::Pending;
                }
            }
            if self.rest.is_empty() {
                scratch::put(scratch, self.held.take());
            }
        }
        Poll::Ready(Ok(()))
    }

    /// A large buffer is not kept for the sake of a few bytes, which may have to wait long.
    fn hold_little(&mut self, scratch: &mut Scratch) {
        let Some(held) = &self.held else { return };
        if self.rest.len() <= held.len() / 4 {
            let little = held[self.rest.clone()].into();
            self.rest = 0..self.rest.len();
            scratch::put(scratch, self.held.replace(little));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, duplex};

    /// A writer that takes ten bytes at a time has the rest kept for it, and not a large buffer.
    #[tokio::test]
    async fn little_is_kept_in_little() {
        let sent: Vec<u8> = (0..100).collect();
        let mut reader = &sent[..];
        let (mut writer, mut end) = duplex(10);
        let mut copy = Copy::default();
        let mut scratch = None;
        let mut received = Vec::new();
        loop {
            let polled =
                poll_fn(|cx| Poll::Ready(copy.poll(cx, &mut reader, &mut writer, &mut scratch)));
            if polled.await.is_ready() {
                break;
            }
            assert!(scratch.is_some(), "others can have the buffer");
            let held = copy.held.as_ref().map_or(0, |held| held.len());
            assert!((1..=100).contains(&held), "{held} bytes are held");
            end.read_buf(&mut received).await.unwrap();
        }
        drop(writer);
        end.read_to_end(&mut received).await.unwrap();
        assert_eq!((received, copy.copied()), (sent, 100));
    }

    /// Who has always more to send has its turn, and then others have theirs.
    #[tokio::test]
    async fn a_turn_is_short() {
        let (mut reader, mut writer) = (tokio::io::repeat(1), tokio::io::sink());
        let mut copy = Copy::default();
        let mut turns = 0;
        let three = poll_fn(|cx| {
            let polled = copy.poll(cx, &mut reader, &mut writer, &mut None);
            assert!(polled.is_pending());
            turns += 1;
            // The next comes by itself.
            if turns < 3 {
                polled.map(drop)
            } else {
                Poll::Ready(())
            }
        });
        tokio::time::timeout(std::time::Duration::from_secs(20), three)
            .await
            .expect("three turns");
        let each = copy.copied() / 3;
        assert!((1..=256 * 1024).contains(&each), "{each} bytes in a turn");
    }

    #[tokio::test]
    async fn what_was_written_is_flushed_when_nothing_follows() {
        let (mut client, mut reader) = duplex(10);
        let (writer, mut end) = duplex(10);
        let mut writer = BufWriter::new(writer);
        let mut copy = Copy::default();
        client.write_all(b"hello").await.unwrap();
        poll_fn(|cx| {
            let polled = copy.poll(cx, &mut reader, &mut writer, &mut None);
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
