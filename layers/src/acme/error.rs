//! Errors of the configuration, of the state directory, and of orders.

use reagent::{BoxError, ErrorChain};
use std::{error::Error, fmt, io, path::PathBuf, time::Duration};

/// An error of [`AcmeBuilder::build`](super::AcmeBuilder::build), or of an attempt to obtain a
/// certificate.
///
/// The message does not repeat its [`source`](Error::source): print both, as `anyhow` and `{:?}`
/// do. Neither contains a key.
#[non_exhaustive]
pub enum AcmeError {
    /// The URL of the directory is invalid.
    Directory {
        /// The URL as it was passed.
        url: String,
    },
    /// A domain cannot have a certificate by the challenge `tls-alpn-01`.
    Domain {
        /// The domain as it was passed.
        domain: String,
    },
    /// No domain was set.
    NoDomain,
    /// A contact is invalid.
    Contact {
        /// The contact as it was passed.
        contact: String,
    },
    /// The authorities by which the directory is verified cannot be used.
    Roots {
        /// Their file, or `None` for those of the system.
        path: Option<PathBuf>,
        /// Why.
        source: BoxError,
    },
    /// A file or folder of the state cannot be read or written.
    Io {
        /// What failed: `read`, `write`, `create` or `lock`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file or folder of the state has other contents or permissions than expected. It is left
    /// alone.
    Foreign {
        /// The file or folder.
        path: PathBuf,
        /// What was expected.
        expected: String,
    },
    /// The directory cannot be reached, refused a request, or sent an invalid answer.
    Order {
        /// The cause.
        source: BoxError,
    },
    /// The directory took too long.
    TimedOut {
        /// The time limit.
        limit: Duration,
    },
}

impl AcmeError {
    pub(super) fn order(source: impl Into<BoxError>) -> Self {
        AcmeError::Order {
            source: source.into(),
        }
    }
}

impl From<instant_acme::Error> for AcmeError {
    fn from(error: instant_acme::Error) -> Self {
        AcmeError::order(error)
    }
}

impl fmt::Display for AcmeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AcmeError::Directory { url } => write!(
                f,
                "invalid ACME directory {url:?}: expected a URL that begins with https://"
            ),
            AcmeError::Domain { domain } => write!(
                f,
                "invalid domain {domain:?}: expected a host name such as example.org; wildcards and \
                 addresses cannot be validated by TLS-ALPN-01"
            ),
            AcmeError::NoDomain => f.write_str("no domain: set one on the `AcmeBuilder`"),
            AcmeError::Contact { contact } => write!(
                f,
                "invalid contact {contact:?}: expected a mail address or a URL such as \
                 mailto:admin@example.org"
            ),
            AcmeError::Roots { path: None, .. } => {
                f.write_str("cannot use the certificate authorities of the system")
            }
            AcmeError::Roots {
                path: Some(path), ..
            } => write!(f, "cannot use the authorities in {}", path.display()),
            AcmeError::Io { action, path, .. } => write!(f, "cannot {action} {}", path.display()),
            AcmeError::Foreign { path, expected } => write!(
                f,
                "cannot use {}: expected {expected}; nothing was changed, so move it away if it may \
                 be replaced",
                path.display()
            ),
            AcmeError::Order { .. } => f.write_str("the certificate was not issued"),
            AcmeError::TimedOut { limit } => write!(
                f,
                "the certificate was not issued: the directory did not finish within {limit:?}"
            ),
        }
    }
}

/// Prints the message and its sources.
impl fmt::Debug for AcmeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&ErrorChain(self), f)
    }
}

impl Error for AcmeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            AcmeError::Roots { source, .. } | AcmeError::Order { source } => Some(&**source),
            AcmeError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
