//! What can be wrong with a header.

use super::Version;
use std::{error::Error, fmt};

/// The kind of [`TimedOut`](reagent::TimedOut) where no header came in time, and the name of the upgrade.
pub const TIMEOUT: &str = "proxy protocol";

/// The reason of [`Rejected`](reagent::Rejected) for a sender that is not trusted.
pub const REJECTED: &str = "proxy protocol";

/// The reason of [`Rejected`](reagent::Rejected) for a connection that ended before its first byte.
pub const HEALTH_CHECK: &str = "health check";

/// The label `error.type` of a sender that is not trusted.
pub(super) const UNTRUSTED: &str = "untrusted_proxy";

/// More of what came than this is not shown: enough for a request line or for the start of a handshake.
const EXCERPT: usize = 24;

/// The error of bytes that are no acceptable header. Its message says what was expected and, in a short escaped
/// excerpt, what came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyProtocolError {
    /// The first bytes are those of neither version.
    #[non_exhaustive]
    NotAHeader {
        /// How they begin, escaped.
        got: String,
    },
    /// A part of the header is not what the specification says.
    #[non_exhaustive]
    Malformed {
        /// The version whose signature it begins with.
        version: Version,
        /// What should stand there.
        expected: &'static str,
        /// What stands there, escaped.
        got: String,
    },
    /// It is longer than its format or the layer's bound allows.
    #[non_exhaustive]
    TooLong {
        /// The version whose signature it begins with.
        version: Version,
        /// The most it may have, in bytes.
        max: usize,
        /// What it has, or says it has; in version 1, where only its end says so, what has come of it.
        got: usize,
    },
    /// The stream ended within it.
    #[non_exhaustive]
    Truncated {
        /// What came, escaped.
        got: String,
    },
    /// It does not have the checksum that it says it has.
    #[non_exhaustive]
    Checksum {
        /// That of the bytes that came.
        expected: u32,
        /// That which the header gives.
        got: u32,
    },
}

impl ProxyProtocolError {
    /// Returns one word for each kind of error, as the label `error.type`: `proxy_header_missing`,
    /// `proxy_header_malformed`, `proxy_header_too_long`, `proxy_header_truncated`, `proxy_header_checksum`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotAHeader { .. } => "proxy_header_missing",
            Self::Malformed { .. } => "proxy_header_malformed",
            Self::TooLong { .. } => "proxy_header_too_long",
            Self::Truncated { .. } => "proxy_header_truncated",
            Self::Checksum { .. } => "proxy_header_checksum",
        }
    }

    pub(super) fn malformed(version: Version, expected: &'static str, got: &[u8]) -> Self {
        ProxyProtocolError::Malformed {
            version,
            expected,
            got: excerpt(got),
        }
    }
}

/// The beginning of `bytes`, in quotes and with everything escaped that is not printable ASCII.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(EXCERPT)];
    let rest = if shown.len() < bytes.len() { "…" } else { "" };
    format!("\"{}\"{rest}", shown.escape_ascii())
}

impl fmt::Display for ProxyProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAHeader { got } => write!(
                f,
                "expected a PROXY protocol header, which begins with \"PROXY \" or \"\\r\\n\\r\\n\\x00\", got {got}"
            ),
            Self::Malformed {
                version,
                expected,
                got,
            } => write!(
                f,
                "expected {expected} in a PROXY {version} header, got {got}"
            ),
            Self::TooLong { version, max, got } => write!(
                f,
                "expected a PROXY {version} header of at most {max} bytes, got {got}"
            ),
            Self::Truncated { got } => write!(
                f,
                "expected a whole PROXY protocol header, got the end of the stream after {got}"
            ),
            Self::Checksum { expected, got } => write!(
                f,
                "expected the checksum {expected:#010x} (CRC32C) in a PROXY v2 header, got {got:#010x}"
            ),
        }
    }
}

impl Error for ProxyProtocolError {}

/// The error of a [`Header`](super::Header) that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// It has something that version 1 cannot say.
    V1(&'static str),
    /// The path of a Unix socket has more than 108 bytes.
    UnixPath,
    /// The unique id has more than 128 bytes.
    UniqueId,
    /// A value, or all that follows the first 16 bytes, has more than 65,535 bytes.
    TooLong,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V1(what) => write!(f, "a PROXY v1 header cannot carry {what}; use version 2"),
            Self::UnixPath => f.write_str("a Unix path in a PROXY header has at most 108 bytes"),
            Self::UniqueId => f.write_str("a unique id in a PROXY header has at most 128 bytes"),
            Self::TooLong => f.write_str("a PROXY v2 header has at most 65551 bytes"),
        }
    }
}

impl Error for EncodeError {}
