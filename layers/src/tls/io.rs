//! The stream of a connection after its handshake.

use super::admitted::Client;
use crate::open_connections::Registered;
use reagent::{ConnectionHandle, IoStream};
use std::{
    fmt,
    future::{Future, poll_fn},
    io::{self, BufRead, IoSlice, Read},
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
    thread,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::unconstrained,
};
use tokio_rustls::{rustls::ServerConnection, server::TlsStream};

/// An encrypted stream: reads return decrypted data, and writes are encrypted.
///
/// If the client ends its stream without `close_notify`, reads return an ordinary end, as described
/// in the [module documentation](super). [`ConnectionHandle::is_truncated`] then returns true.
///
/// If the stream is dropped before it was shut down, it sends `close_notify` in the
/// [cases](super#how-connections-end) in which the client cannot mistake a part for the whole.
pub struct TlsIo<Io: IoStream> {
    stream: TlsStream<Io>,
    handle: ConnectionHandle,
    requires_close_notify: bool,
    /// Set when the server begins to shut down. The end of the client's stream is no loss after
    /// that.
    is_closing: bool,
    /// Whether the last write or flush has not succeeded, so that something may be unsent.
    is_unsent: bool,
    is_truncated: bool,
    /// The error of a bad record, while data from earlier records is still to be read.
    bad_record: Option<io::Error>,
    /// Lists the connection for as long as the stream exists.
    _registered: Option<Registered<(), Client>>,
}

impl<Io: IoStream> TlsIo<Io> {
    pub(super) fn new(
        stream: TlsStream<Io>,
        handle: ConnectionHandle,
        requires_close_notify: bool,
        registered: Option<Registered<(), Client>>,
    ) -> Self {
        TlsIo {
            stream,
            handle,
            requires_close_notify,
            is_closing: false,
            is_unsent: false,
            is_truncated: false,
            bad_record: None,
            _registered: registered,
        }
    }

    /// Returns the wrapped stream and the state of TLS.
    pub fn get_ref(&self) -> (&Io, &ServerConnection) {
        self.stream.get_ref()
    }

    /// Returns whether `error` means that the wrapped stream ended, and is not an error of that
    /// stream.
    fn is_missing_close_notify(&mut self, error: &io::Error) -> bool {
        let says_eof = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
        // rustls reports the end again, but knows nothing of an error of the stream.
        says_eof(error)
            && (self.stream.get_mut().1.reader().fill_buf()).is_err_and(|error| says_eof(&error))
    }

    /// Reads the data that was decrypted before a bad record, and after that returns the error.
    fn read_before(&mut self, error: io::Error, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        let mut reader = self.stream.get_mut().1.reader();
        match reader.read(buf.initialize_unfilled()) {
            Ok(n @ 1..) => {
                buf.advance(n);
                self.bad_record = Some(error);
                Ok(())
            }
            Ok(0) | Err(_) => Err(error),
        }
    }

    fn written<T>(&mut self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.is_unsent = !matches!(polled, Poll::Ready(Ok(_)));
        polled
    }

    /// Sends `close_notify` if the stream inside takes it at once.
    fn close_notify(&mut self) {
        let (io, session) = self.stream.get_mut();
        let mut record = Vec::new();
        session.send_close_notify();
        if session.write_tls(&mut record).is_err() {
            return;
        }
        let write = poll_fn(|cx| {
            ready!(Pin::new(&mut *io).poll_write(cx, &record))?;
            Pin::new(&mut *io).poll_flush(cx)
        });
        // It succeeds or not, and nobody waits for it: neither for the client nor for a turn of the task.
        let _ = pin!(unconstrained(write)).poll(&mut Context::from_waker(Waker::noop()));
    }

    fn end(&mut self) {
        self.is_truncated = true;
        if !self.is_closing {
            self.handle.set_truncated();
        }
    }
}

impl<Io: IoStream> AsyncRead for TlsIo<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_truncated {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = self.bad_record.take() {
            return Poll::Ready(self.read_before(error, buf));
        }
        match ready!(Pin::new(&mut self.stream).poll_read(cx, buf)) {
            Err(error) if !self.requires_close_notify && self.is_missing_close_notify(&error) => {
                self.end();
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Poll::Ready(self.read_before(error, buf))
            }
            read => Poll::Ready(read),
        }
    }
}

impl<Io: IoStream> AsyncWrite for TlsIo<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_closing = true;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<Io: IoStream> Drop for TlsIo<Io> {
    fn drop(&mut self) {
        let is_whole = !self.is_unsent && !self.stream.get_ref().1.wants_write();
        // A stream that panics during a panic would end the process.
        if is_whole && !self.is_closing && !thread::panicking() && self.handle.begin_last_write() {
            self.close_notify();
        }
    }
}

impl<Io: IoStream + fmt::Debug> fmt::Debug for TlsIo<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIo")
            .field("io", self.stream.get_ref().0)
            .field("is_truncated", &self.is_truncated)
            .finish_non_exhaustive()
    }
}
