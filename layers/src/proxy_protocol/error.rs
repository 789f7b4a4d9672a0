//! What can be wrong with a header.

use super::Version;
use std::{error::Error, fmt};

/// More of what came than this is not shown: enough for a request line or for the start of a handshake.
const EXCERPT: usize = 24;

/// Why bytes are no acceptable header. Its message says what was expected and, in a short escaped
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

/// Why a [`Header`](super::Header) cannot be written.
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
