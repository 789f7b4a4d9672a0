//! The side that failed.

use std::{error::Error, fmt, io};

/// The side that failed before both directions had ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum RelayError {
    /// The client. The upstream was reset, once it had everything that the client sent.
    Client(io::Error),
    /// The upstream. The client was reset, once it had everything that the upstream sent.
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
