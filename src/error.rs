//! Why a server could not be started, or cannot go on.

use crate::BoxError;
use std::{error::Error as StdError, fmt, io};

/// Why a server could not be started, or stopped by itself.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// What was given as an address is none.
    Address {
        /// As it was given.
        addr: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An address could not be listened on.
    Bind {
        /// As it was given.
        addr: String,
        /// What the system said.
        source: io::Error,
    },
    /// There was nothing to listen on.
    NoListener,
    /// The service of an acceptor could not be made.
    Make(BoxError),
    /// A thread or its runtime could not be started.
    Runtime(io::Error),
    /// Every listener was lost for good. Connections that were open went on to their end.
    ListenersLost,
}

impl Error {
    pub(crate) fn address(addr: &str, reason: impl Into<String>) -> Self {
        Error::Address {
            addr: addr.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn bind(addr: &str, source: io::Error) -> Self {
        Error::Bind {
            addr: addr.to_owned(),
            source,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Address { addr, reason } => write!(f, "cannot listen on {addr:?}: {reason}"),
            Error::Bind { addr, source } => {
                write!(f, "cannot listen on {addr}: {source}")?;
                match bind_advice(source.kind()) {
                    Some(advice) => write!(f, "; {advice}"),
                    None => Ok(()),
                }
            }
            Error::NoListener => f.write_str(
                "cannot start a server that has nothing to listen on; give it an address",
            ),
            Error::Make(source) => {
                write!(f, "cannot make the service of an acceptor: {source}")
            }
            Error::Runtime(source) => write!(f, "cannot start a thread for a core: {source}"),
            Error::ListenersLost => {
                f.write_str("the server stopped, because all its listeners were lost for good")
            }
        }
    }
}

fn bind_advice(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::AddrInUse => {
            Some("another server listens there; stop it or choose another address")
        }
        io::ErrorKind::PermissionDenied => Some(
            "a port below 1024 needs CAP_NET_BIND_SERVICE, a path a directory one may write to",
        ),
        io::ErrorKind::AddrNotAvailable => Some("no interface of this machine has that address"),
        _ => None,
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Bind { source, .. } | Error::Runtime(source) => Some(source),
            Error::Make(source) => Some(&**source),
            _ => None,
        }
    }
}
