//! A stream with its type erased.

use super::socket::Socket;
use crate::cast::cast;
use crate::io::{BoxedStream, IoStream, delegate_io};
use std::fmt;

/// The stream of a connection with its type erased: a plain socket is stored inline, a stream that
/// layers have wrapped is boxed.
///
/// Listeners pass it to the stack, and [`handle`](crate::handle) passes it to its function.
#[derive(Debug)]
pub struct BoxIo(Io);

enum Io {
    Socket(Socket),
    Boxed(BoxedStream),
}

delegate_io!(impl[] for BoxIo { BoxIo(Io::Socket(io)) => io, BoxIo(Io::Boxed(io)) => io });

impl BoxIo {
    /// Erases the type of `io`. A `BoxIo` is returned unchanged.
    pub fn new<T: IoStream>(io: T) -> Self {
        cast(io).unwrap_or_else(|io| BoxIo(Io::Boxed(BoxedStream::new(io))))
    }

    /// Returns the stream if it is a `T`.
    ///
    /// A socket that no layer has wrapped is a [`TcpStream`](tokio::net::TcpStream) or a
    /// [`UnixStream`](tokio::net::UnixStream). Any other stream has the type that was erased, by
    /// [`new`](Self::new), [`Connection::boxed`](crate::Connection::boxed) or
    /// [`Transport::other`](crate::Transport::other).
    ///
    /// It is for libraries that accept only a Tokio socket. The server no longer tracks a stream
    /// that is taken out: its bytes are not counted, its errors do not tell how the client went
    /// away, and its [`ConnectionHandle`](crate::ConnectionHandle) has no socket. The connection is
    /// open, and counts towards `max_connections`, as long as the future of its handler runs. An
    /// [abort](crate::ConnectionHandle::abort) drops that future and nothing else.
    ///
    /// ```
    /// use reagent::Connection;
    /// use tokio::net::TcpStream;
    ///
    /// async fn handle(conn: Connection) -> std::io::Result<()> {
    ///     let (io, _parts) = conn.into_parts();
    ///     match io.downcast::<TcpStream>() {
    ///         Ok(tcp) => library::serve(tcp).await,
    ///         Err(_) => Err(std::io::Error::other("only plain TCP is supported")),
    ///     }
    /// }
    /// # mod library {
    /// #     pub async fn serve(_: tokio::net::TcpStream) -> std::io::Result<()> { Ok(()) }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the stream unchanged if it is not a `T`.
    pub fn downcast<T: IoStream>(self) -> Result<T, Self> {
        let io = match cast::<Self, T>(self) {
            Ok(io) => return Ok(io),
            Err(BoxIo(io)) => io,
        };
        match io {
            Io::Socket(socket) => socket.downcast().map_err(Io::Socket),
            Io::Boxed(stream) => stream.downcast().map_err(Io::Boxed),
        }
        .map_err(BoxIo)
    }

    pub(super) fn socket(socket: Socket) -> Self {
        BoxIo(Io::Socket(socket))
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Io::Socket(socket) => socket.fmt(f),
            Io::Boxed(stream) => stream.fmt(f),
        }
    }
}
