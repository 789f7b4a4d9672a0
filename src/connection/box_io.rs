//! A stream of whatever type.

use super::socket::Socket;
use crate::cast::cast;
use crate::io::{BoxedStream, IoStream, delegate_io};
use std::fmt;

/// A connection's stream of whatever type: the plain socket inline, what layers wrapped in a box.
///
/// It is what listeners hand to the stack, and what [`handle`](crate::handle) hands to its function.
#[derive(Debug)]
pub struct BoxIo(Io);

enum Io {
    Socket(Socket),
    Boxed(BoxedStream),
}

delegate_io!(impl[] for BoxIo { BoxIo(Io::Socket(io)) => io, BoxIo(Io::Boxed(io)) => io });

impl BoxIo {
    /// Erases the type of `io`; a `BoxIo` stays as it is.
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
