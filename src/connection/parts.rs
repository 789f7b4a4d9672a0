//! A connection apart from its stream.

use super::{Connection, ConnectionHandle};

use crate::extensions::Extensions;

/// What [`Connection::into_parts`] leaves beside the stream.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConnectionParts {
    /// The view from outside.
    pub handle: ConnectionHandle,
    /// What layers left.
    pub extensions: Extensions,
}

impl ConnectionParts {
    /// Puts a connection together again, of the stream or of what became of it.
    pub fn with_io<Io>(self, io: Io) -> Connection<Io> {
        Connection::from_parts(io, self)
    }
}
