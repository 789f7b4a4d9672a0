//! Streams with a socket underneath.

#[cfg(windows)]
use std::os::windows::io::{AsSocket, BorrowedSocket as Borrowed};
use tokio::net::TcpStream;
#[cfg(unix)]
use {
    std::os::fd::{AsFd, BorrowedFd as Borrowed},
    tokio::net::UnixStream,
};

/// A stream whose close can be made a reset, since it knows its socket: what `relay` takes as an upstream.
///
/// A stream that wraps another passes on the socket of that one.
pub trait Resettable {
    /// Returns the socket underneath (a `BorrowedFd`, on Windows a `BorrowedSocket`), or `None` if there is
    /// none.
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
