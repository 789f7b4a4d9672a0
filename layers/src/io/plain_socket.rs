//! A socket without anything around it.

use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

/// A reference to a socket of the system, from [`Resettable::plain`](super::Resettable::plain).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum PlainSocket<'a> {
    /// A TCP socket.
    Tcp(&'a TcpStream),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(&'a UnixStream),
}

#[cfg(target_os = "linux")]
mod transfer {
    use super::PlainSocket;
    use std::{
        io,
        os::fd::{AsFd, BorrowedFd},
        task::{Context, Poll, ready},
    };
    use tokio::io::Interest;

    impl PlainSocket<'_> {
        /// Calls `transfer` once the socket is readable, and again if it is not readable after all.
        pub(crate) fn poll_read_with(
            self,
            cx: &mut Context<'_>,
            mut transfer: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
        ) -> Poll<io::Result<usize>> {
            loop {
                ready!(match self {
                    PlainSocket::Tcp(stream) => stream.poll_read_ready(cx),
                    PlainSocket::Unix(stream) => stream.poll_read_ready(cx),
                })?;
                match self.try_io(Interest::READABLE, &mut transfer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    moved => return Poll::Ready(moved),
                }
            }
        }

        /// Calls `transfer` once the socket is writable, and again if it is not writable after all.
        pub(crate) fn poll_write_with(
            self,
            cx: &mut Context<'_>,
            mut transfer: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
        ) -> Poll<io::Result<usize>> {
            loop {
                ready!(match self {
                    PlainSocket::Tcp(stream) => stream.poll_write_ready(cx),
                    PlainSocket::Unix(stream) => stream.poll_write_ready(cx),
                })?;
                match self.try_io(Interest::WRITABLE, &mut transfer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    moved => return Poll::Ready(moved),
                }
            }
        }

        fn try_io(
            self,
            interest: Interest,
            transfer: &mut impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
        ) -> io::Result<usize> {
            match self {
                PlainSocket::Tcp(stream) => stream.try_io(interest, || transfer(stream.as_fd())),
                PlainSocket::Unix(stream) => stream.try_io(interest, || transfer(stream.as_fd())),
            }
        }
    }
}
