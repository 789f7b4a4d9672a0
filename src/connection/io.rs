//! The streams a connection can be made of, from the transport up to the erased one.

use super::socket::Socket;
use std::{any::Any, fmt, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// Any stream of bytes a connection can carry; an alias that every fitting type has.
pub trait IoStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> IoStream for T {}

/// Implements `AsyncRead` and `AsyncWrite` by handing every call to the stream inside.
macro_rules! delegate_io {
    (impl[$($generics:tt)*] for $type:ty { $($pattern:pat => $io:expr),+ $(,)? }) => {
        impl<$($generics)*> ::tokio::io::AsyncRead for $type {
            #[inline]
            fn poll_read(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                buf: &mut ::tokio::io::ReadBuf<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                match self.get_mut() { $($pattern => ::std::pin::Pin::new($io).poll_read(cx, buf)),+ }
            }
        }

        impl<$($generics)*> ::tokio::io::AsyncWrite for $type {
            #[inline]
            fn poll_write(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                buf: &[u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                match self.get_mut() { $($pattern => ::std::pin::Pin::new($io).poll_write(cx, buf)),+ }
            }

            #[inline]
            fn poll_write_vectored(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                bufs: &[::std::io::IoSlice<'_>],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                match self.get_mut() {
                    $($pattern => ::std::pin::Pin::new($io).poll_write_vectored(cx, bufs)),+
                }
            }

            #[inline]
            fn is_write_vectored(&self) -> bool {
                match self { $($pattern => $io.is_write_vectored()),+ }
            }

            #[inline]
            fn poll_flush(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                match self.get_mut() { $($pattern => ::std::pin::Pin::new($io).poll_flush(cx)),+ }
            }

            #[inline]
            fn poll_shutdown(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                match self.get_mut() { $($pattern => ::std::pin::Pin::new($io).poll_shutdown(cx)),+ }
            }
        }
    };
}
pub(crate) use delegate_io;

/// What a [`Listener`](crate::Listener) accepts: the stream at the bottom of a connection.
#[derive(Debug)]
pub struct Transport(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
    Other(OtherStream),
}

struct OtherStream(Box<dyn IoStream>);

delegate_io!(impl[] for OtherStream { OtherStream(io) => io });

impl fmt::Debug for OtherStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Other")
    }
}

#[cfg(unix)]
delegate_io!(impl[] for Transport {
    Transport(Kind::Tcp(io)) => io,
    Transport(Kind::Unix(io)) => io,
    Transport(Kind::Other(io)) => io,
});

#[cfg(not(unix))]
delegate_io!(impl[] for Transport {
    Transport(Kind::Tcp(io)) => io,
    Transport(Kind::Other(io)) => io,
});

impl Transport {
    /// A stream of another kind than TCP and Unix, in a box.
    pub fn other(io: impl IoStream) -> Self {
        Transport(Kind::Other(OtherStream(Box::new(io))))
    }

    pub(crate) fn tcp(&self) -> Option<&TcpStream> {
        match &self.0 {
            Kind::Tcp(stream) => Some(stream),
            _ => None,
        }
    }

    #[cfg(unix)]
    pub(crate) fn unix(&self) -> Option<&tokio::net::UnixStream> {
        match &self.0 {
            Kind::Unix(stream) => Some(stream),
            _ => None,
        }
    }

    /// Makes the close a reset (`SO_LINGER` of zero, `socket(7)`), where there is such a thing.
    pub(crate) fn reset_on_close(&self) {
        if let Some(stream) = self.tcp() {
            // It fails only on a socket that has no connection any more.
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl From<TcpStream> for Transport {
    fn from(stream: TcpStream) -> Self {
        Transport(Kind::Tcp(stream))
    }
}

#[cfg(unix)]
impl From<tokio::net::UnixStream> for Transport {
    fn from(stream: tokio::net::UnixStream) -> Self {
        Transport(Kind::Unix(stream))
    }
}

/// A connection's stream of whatever type: the plain socket inline, what layers wrapped in a box.
///
/// It is what listeners hand to the stack, and what [`handle`](crate::handle) hands to its function.
#[derive(Debug)]
pub struct BoxIo(Io);

enum Io {
    Socket(Socket),
    Boxed(Box<dyn IoStream>),
}

delegate_io!(impl[] for BoxIo { BoxIo(Io::Socket(io)) => io, BoxIo(Io::Boxed(io)) => io });

impl BoxIo {
    /// Erases the type of `io`; a `BoxIo` stays as it is.
    pub fn new<T: IoStream>(io: T) -> Self {
        let mut slot = Some(io);
        if let Some(erased) = (&mut slot as &mut dyn Any).downcast_mut::<Option<BoxIo>>() {
            if let Some(io) = erased.take() {
                return io;
            }
        }
        match slot {
            Some(io) => BoxIo(Io::Boxed(Box::new(io))),
            None => unreachable!("taken only above, which returns"),
        }
    }

    pub(super) fn socket(socket: Socket) -> Self {
        BoxIo(Io::Socket(socket))
    }

    fn transport(&self) -> Option<&Transport> {
        match &self.0 {
            Io::Socket(socket) => Some(&socket.transport),
            Io::Boxed(_) => None,
        }
    }

    /// The TCP stream, for its options; `None` if it is another kind or a layer has wrapped it.
    pub fn tcp(&self) -> Option<&TcpStream> {
        self.transport()?.tcp()
    }

    /// The Unix stream, for its credentials; `None` if it is another kind or a layer has wrapped it.
    #[cfg(unix)]
    pub fn unix(&self) -> Option<&tokio::net::UnixStream> {
        self.transport()?.unix()
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Io::Socket(socket) => socket.fmt(f),
            Io::Boxed(_) => f.write_str("Boxed"),
        }
    }
}
