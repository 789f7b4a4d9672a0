//! The error of a relay.

use std::{error::Error, fmt, io};

/// The error of a relay: one side failed before both directions had ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum RelayError {
    /// The client failed. The upstream was reset, after everything that the client had sent was
    /// delivered to it.
    Client(io::Error),
    /// The upstream failed. The client was reset, after everything that the upstream had sent was
    /// delivered to it.
    Upstream(io::Error),
}

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RelayError::Client(_) => f.write_str("lost the client"),
            RelayError::Upstream(_) => f.write_str("lost the upstream"),
        }
    }
}

impl Error for RelayError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            RelayError::Client(error) | RelayError::Upstream(error) => Some(error),
        }
    }
}
