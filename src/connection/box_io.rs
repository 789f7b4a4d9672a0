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
