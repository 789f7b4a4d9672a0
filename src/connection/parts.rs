//! A connection without its stream.

use super::{Connection, ConnectionHandle};

use crate::extensions::Extensions;

/// A connection without its stream, from [`Connection::into_parts`].
#[derive(Debug)]
#[non_exhaustive]
pub struct ConnectionParts {
    /// The handle of the connection.
    pub handle: ConnectionHandle,
    /// The values that layers have left.
    pub extensions: Extensions,
}

impl ConnectionParts {
    /// Rebuilds the connection with its stream, or with a stream made from it.
    pub fn with_io<Io>(self, io: Io) -> Connection<Io> {
        Connection::from_parts(io, self)
    }
}
