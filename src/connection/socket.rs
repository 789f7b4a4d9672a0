//! The innermost stream of a connection: it counts bytes, notices aborts, and closes with a reset
//! if asked.

use super::{
    entry::{Entry, flag},
    open_guard::OpenGuard,
};
use crate::io::BoxedStream;
use crate::listener::{MaybeDirect, PlainStream};
use crate::{outcome::Disconnect, sync::Mutex};
use std::{
    io::{self, IoSlice},
    mem,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The socket of a connection, and the wakers of the tasks that wait for it.
///
/// It is stored in the connection's entry rather than in its stream, so that handles reach it
/// through all layers. Only the stream reads and writes, so the lock is contended only by such
/// handles.
#[derive(Debug)]
pub(crate) struct SocketCell(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    stream: Option<PlainStream>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl SocketCell {
    pub(super) fn new(stream: Option<PlainStream>) -> Self {
        SocketCell(Mutex::new(Inside {
            stream,
            ..Inside::default()
        }))
    }

    /// Calls `question` with the socket, unless it is closed or the stream is not a socket.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&PlainStream) -> T) -> Option<T> {
        self.0.lock().stream.as_ref().map(question)
    }

    /// Takes the socket out of the reach of the connection's stream.
    pub(super) fn take(&self) -> Option<PlainStream> {
        self.0.lock().stream.take()
    }

    /// Registers the task to be woken by an abort, in place of one that reads.
    pub(super) fn register_reader(&self, cx: &Context<'_>) {
        let old = register(&mut self.0.lock().reader, cx);
        drop(old);
    }

    /// Wakes the tasks that wait to read or write.
    pub(super) fn wake(&self) {
        let (reader, writer) = {
            let mut inside = self.0.lock();
            (inside.reader.take(), inside.writer.take())
        };
        [reader, writer].into_iter().flatten().for_each(Waker::wake);
    }
}

/// The stream of a connection. A socket is stored in the entry, any other stream here. Fields are
/// dropped in order: the stream is closed before the guard gives the place to the next client.
#[derive(Debug)]
pub(crate) struct Socket {
    other: Option<BoxedStream>,
    guard: OpenGuard,
}

impl Socket {
    pub(super) fn new(guard: OpenGuard, other: Option<BoxedStream>) -> Self {
        Socket { other, guard }
    }

    fn entry(&self) -> &Entry {
        self.guard.entry()
    }

    /// Takes the stream out if it is a `T`, which ends this part of the connection.
    pub(super) fn downcast<T: 'static>(mut self) -> Result<T, Self> {
        if let Some(other) = self.other.take() {
            return other.downcast().map_err(|other| {
                self.other = Some(other);
                self
            });
        }
        let taken = self.entry().socket.0.lock().stream.take();
        match taken.map(PlainStream::downcast) {
            Some(Ok(stream)) => Ok(stream),
            Some(Err(stream)) => {
                self.entry().socket.0.lock().stream = Some(stream);
                Err(self)
            }
            None => Err(self),
        }
    }
}

fn aborted<T>(entry: &Entry) -> Option<Poll<io::Result<T>>> {
    entry.is_cut_off().then(|| {
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "the server aborted the connection",
        )))
    })
}

/// Stores the waker of a waiting task, and returns the one it replaces, to be dropped outside the
/// lock.
fn register(slot: &mut Option<Waker>, cx: &Context<'_>) -> Option<Waker> {
    match slot {
        Some(known) if known.will_wake(cx.waker()) => None,
        slot => slot.replace(cx.waker().clone()),
    }
}

/// Notes that a task waits to read or write.
mod note_wait {
    use super::Entry;

    pub(super) fn reader(_: &Entry) {}

    pub(super) fn writer(entry: &Entry) {
        entry.note_write(true);
    }
}

/// Polls the stream; if that is pending, an abort wakes the task.
macro_rules! poll_stream {
    ($socket:ident, $cx:ident, $waker:ident, $stream:ident => $poll:expr) => {{
        let Socket { other, guard } = $socket.get_mut();
        let entry = guard.entry();
        if let Some(aborted) = aborted(entry) {
            return aborted;
        }
        let (polled, old) = match other {
            // User code, so it does not run under the lock.
            Some(stream) => {
                let $stream = Pin::new(stream);
                let polled = $poll;
                let waits = polled.is_pending();
                let register = || register(&mut entry.socket.0.lock().$waker, $cx);
                (polled, waits.then(register).flatten())
            }
            None => {
                let mut inside = entry.socket.0.lock();
                let polled = match &mut inside.stream {
                    Some(stream) => {
                        let $stream = Pin::new(stream);
                        $poll
                    }
                    None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
                };
                let waits = polled.is_pending();
                let register = || register(&mut inside.$waker, $cx);
                (polled, waits.then(register).flatten())
            }
        };
        drop(old);
        if polled.is_pending() {
            note_wait::$waker(entry);
            // An abort before the waker was registered has woken no task.
            return aborted(entry).unwrap_or(Poll::Pending);
        }
        (polled, entry)
    }};
}

/// Adds without a locked instruction, since reads do not overlap, and neither do writes.
fn add(counter: &AtomicU64, n: usize) {
    let sum = counter.load(Ordering::Relaxed) + n as u64;
    counter.store(sum, Ordering::Relaxed);
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let is_full = buf.remaining() == 0;
        let (polled, entry) = poll_stream!(self, cx, reader, stream => stream.poll_input(cx, buf));
        match (&polled, buf.filled().len() - before) {
            (Poll::Ready(Ok(())), 0) if !is_full => entry.client_went(Disconnect::Eof),
            (_, 0) => {}
            (_, read) => {
                entry.touch();
                add(&entry.bytes_read, read);
            }
        }
        noted(entry, polled)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (polled, entry) = poll_stream!(self, cx, writer, stream => stream.poll_output(cx, buf));
        written(entry, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (polled, entry) =
            poll_stream!(self, cx, writer, stream => stream.poll_write_vectored(cx, bufs));
        written(entry, polled)
    }

    fn is_write_vectored(&self) -> bool {
        // Sockets support it.
        self.other
            .as_ref()
            .is_none_or(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (polled, entry) = poll_stream!(self, cx, writer, stream => stream.poll_flush(cx));
        flushed(entry, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (polled, entry) = poll_stream!(self, cx, writer, stream => stream.poll_shutdown(cx));
        flushed(entry, polled)
    }
}

fn written(entry: &Entry, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
    if let Poll::Ready(Ok(n)) = polled {
        entry.touch();
        add(&entry.bytes_written, n);
    }
    flushed(entry, polled)
}

fn flushed<T>(entry: &Entry, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    entry.note_write(false);
    noted(entry, polled)
}

/// Records how the client went away if the error tells. An error that its handler returns later is
/// then known to be about the client.
fn noted<T>(entry: &Entry, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    if let Poll::Ready(Err(error)) = &polled {
        if let Some(how) = Disconnect::from_kind(error.kind()) {
            entry.client_went(how);
        }
    }
    polled
}

impl Drop for Socket {
    fn drop(&mut self) {
        let entry = self.entry();
        // A handle may be kept for a long time, and with it the wakers and the tasks of the
        // connection.
        let Inside {
            stream,
            reader,
            writer,
        } = mem::take(&mut *entry.socket.0.lock());
        if let (Some(stream), true) = (&stream, entry.has(flag::RESET)) {
            stream.reset_on_close();
        }
        drop(stream);
        drop((reader, writer));
    }
}
