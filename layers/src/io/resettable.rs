//! Streams with a socket underneath.

#[cfg(windows)]
use std::os::windows::io::{AsSocket, BorrowedSocket as Borrowed};
use tokio::net::TcpStream;
#[cfg(unix)]
use {
    std::os::fd::{AsFd, BorrowedFd as Borrowed},
    tokio::net::UnixStream,
};

/// A stream with a socket underneath, so that it can be closed by a reset. `relay` requires it of
/// an upstream.
///
/// A stream that wraps another should return the socket of the wrapped one.
pub trait Resettable {
    /// Returns the socket underneath, or `None` if the stream has no socket. It is a
    /// [`BorrowedFd`](https://doc.rust-lang.org/std/os/fd/struct.BorrowedFd.html), on Windows a
    /// [`BorrowedSocket`](https://doc.rust-lang.org/std/os/windows/io/struct.BorrowedSocket.html).
    fn socket(&self) -> Option<Borrowed<'_>>;
}

impl Resettable for TcpStream {
    fn socket(&self) -> Option<Borrowed<'_>> {
        #[cfg(unix)]
        let socket = self.as_fd();
        #[cfg(windows)]
        let socket = self.as_socket();
        Some(socket)
    }
}

#[cfg(unix)]
impl Resettable for UnixStream {
    fn socket(&self) -> Option<Borrowed<'_>> {
        Some(self.as_fd())
    }
}

impl<T: Resettable + ?Sized> Resettable for Box<T> {
    fn socket(&self) -> Option<Borrowed<'_>> {
        (**self).socket()
    }
}

#[cfg(feature = "tls_no_provider")]
impl<T: Resettable> Resettable for tokio_rustls::client::TlsStream<T> {
    fn socket(&self) -> Option<Borrowed<'_>> {
        self.get_ref().0.socket()
    }
}

#[cfg(feature = "tls_no_provider")]
impl<T: Resettable> Resettable for tokio_rustls::server::TlsStream<T> {
    fn socket(&self) -> Option<Borrowed<'_>> {
        self.get_ref().0.socket()
    }
}
