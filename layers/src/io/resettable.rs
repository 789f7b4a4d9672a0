//! Streams with a socket underneath.

use super::PlainSocket;
#[cfg(unix)]
pub(crate) use std::os::fd::BorrowedFd as Borrowed;
#[cfg(windows)]
use std::os::windows::io::AsSocket;
#[cfg(windows)]
pub(crate) use std::os::windows::io::BorrowedSocket as Borrowed;
use tokio::net::TcpStream;
#[cfg(unix)]
use {std::os::fd::AsFd, tokio::net::UnixStream};

/// A stream with a socket underneath, so that it can be closed by a reset. `relay` requires it of
/// an upstream.
///
/// A stream that wraps another should return the socket of the wrapped one.
pub trait Resettable {
    /// Returns the socket underneath, or `None` if the stream has no socket. It is a
    /// [`BorrowedFd`](https://doc.rust-lang.org/std/os/fd/struct.BorrowedFd.html), on Windows a
    /// [`BorrowedSocket`](https://doc.rust-lang.org/std/os/windows/io/struct.BorrowedSocket.html).
    fn socket(&self) -> Option<Borrowed<'_>>;

    /// Returns the socket if it carries the bytes of the stream unchanged, so that they can be read
    /// from it and written to it instead. The default is `None`.
    ///
    /// On Linux, `relay` then lets the kernel move large amounts of bytes from one socket to the
    /// other. A stream that holds bytes, as a buffer or TLS does, must return `None`.
    fn plain(&self) -> Option<PlainSocket<'_>> {
        None
    }
}

impl Resettable for TcpStream {
    fn socket(&self) -> Option<Borrowed<'_>> {
        #[cfg(unix)]
        let socket = self.as_fd();
        #[cfg(windows)]
        let socket = self.as_socket();
        Some(socket)
    }

    fn plain(&self) -> Option<PlainSocket<'_>> {
        Some(PlainSocket::Tcp(self))
    }
}

#[cfg(unix)]
impl Resettable for UnixStream {
    fn socket(&self) -> Option<Borrowed<'_>> {
        Some(self.as_fd())
    }

    fn plain(&self) -> Option<PlainSocket<'_>> {
        Some(PlainSocket::Unix(self))
    }
}

impl<T: Resettable + ?Sized> Resettable for Box<T> {
    fn socket(&self) -> Option<Borrowed<'_>> {
        (**self).socket()
    }

    fn plain(&self) -> Option<PlainSocket<'_>> {
        (**self).plain()
    }
}

#[cfg(feature = "tls")]
impl<T: Resettable> Resettable for tokio_rustls::client::TlsStream<T> {
    fn socket(&self) -> Option<Borrowed<'_>> {
        self.get_ref().0.socket()
    }
}

#[cfg(feature = "tls")]
impl<T: Resettable> Resettable for tokio_rustls::server::TlsStream<T> {
    fn socket(&self) -> Option<Borrowed<'_>> {
        self.get_ref().0.socket()
    }
}
