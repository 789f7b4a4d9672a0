//! The errors of headers.

use super::Version;
use std::{error::Error, fmt};

/// The kind of [`TimedOut`](reagent::TimedOut) when no header arrived in time. It is also the name
/// of the upgrade.
pub const TIMEOUT: &str = "proxy protocol";

/// The reason of [`Rejected`](reagent::Rejected) for a sender that is not trusted.
pub const REJECTED: &str = "proxy protocol";

/// The reason of [`Rejected`](reagent::Rejected) for a connection that ended before its first byte.
pub const HEALTH_CHECK: &str = "health check";

/// The label `error.type` of a sender that is not trusted.
pub(super) const UNTRUSTED: &str = "untrusted_proxy";

/// The maximum number of received bytes in a message: enough for a request line or the start of a
/// handshake.
const EXCERPT: usize = 24;

/// The error of data that does not begin with an acceptable header.
///
/// The message says what was expected and, in a short escaped excerpt, what was received.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyProtocolError {
    /// The first bytes are not the signature of either version.
    #[non_exhaustive]
    NotAHeader {
        /// The beginning of the data, escaped.
        got: String,
    },
    /// A part of the header violates the specification.
    #[non_exhaustive]
    Malformed {
        /// The version, according to the signature.
        version: Version,
        /// A description of what was expected.
        expected: &'static str,
        /// What was received instead, escaped.
        got: String,
    },
    /// The header is longer than its format or the layer's limit allows.
    #[non_exhaustive]
    TooLong {
        /// The version, according to the signature.
        version: Version,
        /// The maximum length in bytes.
        max: usize,
        /// The length of the header in bytes. For version 1, whose length is known only at its end,
        /// the number of bytes received.
        got: usize,
    },
    /// The stream ended within the header.
    #[non_exhaustive]
    Truncated {
        /// The data that was received, escaped.
        got: String,
    },
    /// The checksum in the header does not match its contents.
    #[non_exhaustive]
    Checksum {
        /// The checksum of the bytes that were received.
        expected: u32,
        /// The checksum in the header.
        got: u32,
    },
}

impl ProxyProtocolError {
    /// Returns the kind of the error, as in the label `error.type`: `proxy_header_missing`,
    /// `proxy_header_malformed`, `proxy_header_too_long`, `proxy_header_truncated` or
    /// `proxy_header_checksum`.
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

/// Returns the beginning of `bytes` in quotes, with everything but printable ASCII escaped.
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

/// The error of a [`Header`](super::Header) that cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The header contains something that version 1 cannot express.
    V1(&'static str),
    /// The path of a Unix socket has more than 108 bytes.
    UnixPath,
    /// The unique ID has more than 128 bytes.
    UniqueId,
    /// A value, or everything after the first 16 bytes, has more than 65,535 bytes.
    TooLong,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V1(what) => write!(f, "a PROXY v1 header cannot carry {what}; use version 2"),
            Self::UnixPath => f.write_str(
                "the Unix path is too long for a PROXY header: expected at most 108 bytes",
            ),
            Self::UniqueId => f.write_str(
                "the unique id is too long for a PROXY header: expected at most 128 bytes",
            ),
            Self::TooLong => {
                f.write_str("the PROXY v2 header is too long: expected at most 65551 bytes")
            }
        }
    }
}

impl Error for EncodeError {}
