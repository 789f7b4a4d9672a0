//! The reasons why a server cannot start or continue.

use crate::{BoxError, error_chain::ErrorChain};
use std::{error::Error as StdError, fmt, io, path::PathBuf};

/// The reason why a server could not be started, or stopped by itself.
///
/// The message does not repeat its [`source`](StdError::source): print both, as `anyhow`,
/// `{:?}` and [`ErrorChain`] do.
///
/// `{:?}` prints the message and its sources on one line, since that is what the user of a program
/// sees when `main` returns the error. `{:#?}` prints the structure of the value.
#[non_exhaustive]
pub enum Error {
    /// The listen address is invalid, or does not name anything to listen on.
    #[non_exhaustive]
    Address {
        /// The address as it was given.
        addr: String,
        /// The problem, and what was expected instead.
        reason: String,
    },
    /// The system refused to listen on an address.
    #[non_exhaustive]
    Bind {
        /// The address as it was given.
        addr: String,
        /// The step that failed or advice on how to proceed, if known.
        context: Option<String>,
        /// The error of the system.
        source: io::Error,
    },
    /// The server has no address to listen on.
    NoListener,
    /// The service of an acceptor could not be made.
    Make(BoxError),
    /// The Tokio runtime lacks a driver that the server needs, or the runtime of a core could not
    /// be started.
    Runtime(io::Error),
    /// All listeners were lost for good. Connections that were open have been served to their end.
    ListenersLost,
    /// The server drains or has stopped, so that it cannot listen on another address.
    Stopped,
    /// The server could not take over from the one that is running, which goes on.
    #[non_exhaustive]
    Handover {
        /// The path of the hand-over.
        path: PathBuf,
        /// The problem, and what to do about it.
        reason: String,
        /// The cause, if there is one.
        source: Option<BoxError>,
    },
}

impl Error {
    pub(crate) fn address(addr: &str, reason: impl Into<String>) -> Self {
        Error::Address {
            addr: addr.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn bind(addr: &str, source: io::Error) -> Self {
        let (context, source) = match source.downcast::<Explained>() {
            Ok(Explained { context, source }) => (Some(context), source),
            Err(source) => (None, Some(source)),
        };
        match (context, source) {
            (context, Some(source)) => Error::Bind {
                addr: addr.to_owned(),
                context,
                source,
            },
            (context, None) => Error::address(addr, context.unwrap_or_default()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Address { addr, reason } => write!(f, "cannot listen on {addr:?}: {reason}"),
            Error::Bind { addr, context, .. } => {
                write!(f, "cannot listen on {addr}")?;
                match context {
                    Some(context) => write!(f, ": {context}"),
                    None => Ok(()),
                }
            }
            Error::NoListener => f.write_str(
                "cannot start a server that has nothing to listen on; give it an address",
            ),
            Error::Make(_) => f.write_str("cannot make the service of an acceptor"),
            Error::Runtime(_) => f.write_str("cannot run the server on a Tokio runtime"),
            Error::Stopped => {
                f.write_str("cannot listen on another address: the server drains or has stopped")
            }
            Error::ListenersLost => {
                f.write_str("the server stopped, because all its listeners were lost for good")
            }
            Error::Handover { path, reason, .. } => write!(
                f,
                "cannot take over from the server at {}: {reason}",
                path.display()
            ),
        }
    }
}

/// Prints the message and its sources; with `{:#?}`, the structure.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return fmt::Display::fmt(&ErrorChain(self), f);
        }
        match self {
            Error::Address { addr, reason } => f
                .debug_struct("Address")
                .field("addr", addr)
                .field("reason", reason)
                .finish(),
            Error::Bind {
                addr,
                context,
                source,
            } => f
                .debug_struct("Bind")
                .field("addr", addr)
                .field("context", context)
                .field("source", source)
                .finish(),
            Error::NoListener => f.write_str("NoListener"),
            Error::Make(source) => f.debug_tuple("Make").field(source).finish(),
            Error::Runtime(source) => f.debug_tuple("Runtime").field(source).finish(),
            Error::ListenersLost => f.write_str("ListenersLost"),
            Error::Stopped => f.write_str("Stopped"),
            Error::Handover {
                path,
                reason,
                source,
            } => f
                .debug_struct("Handover")
                .field("path", path)
                .field("reason", reason)
                .field("source", source)
                .finish(),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Bind { source, .. } | Error::Runtime(source) => Some(source),
            Error::Make(source)
            | Error::Handover {
                source: Some(source),
                ..
            } => Some(&**source),
            _ => None,
        }
    }
}

/// An `io::Error` with an explanation. [`Error::bind`] takes it apart again.
#[derive(Debug)]
pub(crate) struct Explained {
    context: String,
    /// `None` if the refusal is this crate's, not the system's.
    source: Option<io::Error>,
}

impl Explained {
    /// Adds to an error of the system what was tried, or what to do about it.
    pub(crate) fn error(context: impl Into<String>, source: io::Error) -> io::Error {
        let kind = source.kind();
        let explained = Explained {
            context: context.into(),
            source: Some(source),
        };
        io::Error::new(kind, explained)
    }

    /// Creates an error for something that is refused before the system is asked.
    pub(crate) fn refusal(kind: io::ErrorKind, reason: impl Into<String>) -> io::Error {
        let explained = Explained {
            context: reason.into(),
            source: None,
        };
        io::Error::new(kind, explained)
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

/// The source is part of the message, for callers that print only the `io::Error`.
impl StdError for Explained {}
