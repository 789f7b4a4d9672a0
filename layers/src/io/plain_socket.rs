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
            transfer: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
        ) -> Poll<io::Result<usize>> {
            self.poll_with(cx, Interest::READABLE, transfer)
        }

        /// Calls `transfer` once the socket is writable, and again if it is not writable after all.
        pub(crate) fn poll_write_with(
            self,
            cx: &mut Context<'_>,
            transfer: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
        ) -> Poll<io::Result<usize>> {
            self.poll_with(cx, Interest::WRITABLE, transfer)
        }

        fn poll_with(
            self,
            cx: &mut Context<'_>,
            interest: Interest,
            mut transfer: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
        ) -> Poll<io::Result<usize>> {
            loop {
                ready!(self.poll_ready(cx, interest))?;
                match self.try_io(interest, &mut transfer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    moved => return Poll::Ready(moved),
                }
            }
        }

        fn poll_ready(self, cx: &mut Context<'_>, interest: Interest) -> Poll<io::Result<()>> {
            match (self, interest.is_readable()) {
                (PlainSocket::Tcp(stream), true) => stream.poll_read_ready(cx),
                (PlainSocket::Tcp(stream), false) => stream.poll_write_ready(cx),
                (PlainSocket::Unix(stream), true) => stream.poll_read_ready(cx),
                (PlainSocket::Unix(stream), false) => stream.poll_write_ready(cx),
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
