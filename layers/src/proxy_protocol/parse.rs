//! What bytes are, as far as they have come.

use super::{
    Header, ProxyProtocolError, Version,
    error::excerpt,
    v1,
    v2::{self, SIGNATURE},
};

/// The result of [`parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// They may become a header.
    Incomplete {
        /// The least number of bytes to have before it is worth to look again.
        needed: usize,
        /// The version, once its whole signature is there and the bytes cannot be anything else.
        version: Option<Version>,
    },
    /// They begin with a header.
    Done {
        /// What it says.
        header: Header,
        /// How many bytes it has; what comes after them is payload.
        len: usize,
    },
    /// They do not, whatever follows.
    Invalid(ProxyProtocolError),
}

/// Looks for a header at the beginning of `bytes`, in either version.
///
/// It keeps nothing between calls, so a caller that receives a header in pieces passes all that has come
/// so far. Bytes that are invalid stay so with whatever follows, and a header cut anywhere is incomplete.
/// A header of version 2 may say that it has up to 65,551 bytes: look at `needed` before you wait for them.
///
/// ```
/// use reagent_layers::proxy_protocol::{Parsed, parse};
///
/// let bytes = b"PROXY TCP4 192.0.2.1 192.0.2.11 56324 443\r\nGET / HTTP/1.1\r\n";
/// let Parsed::Done { header, len } = parse(bytes) else {
///     panic!("no header");
/// };
/// assert_eq!(header.source().unwrap().to_string(), "192.0.2.1:56324");
/// assert_eq!(&bytes[len..], b"GET / HTTP/1.1\r\n");
/// assert!(matches!(parse(&bytes[..20]), Parsed::Incomplete { .. }));
/// ```
pub fn parse(bytes: &[u8]) -> Parsed {
    let parsed = if bytes.starts_with(v1::SIGNATURE) {
        v1::parse(bytes)
    } else if bytes.starts_with(SIGNATURE) {
        v2::parse(bytes)
    } else if v1::SIGNATURE.starts_with(bytes) || SIGNATURE.starts_with(bytes) {
        Ok(Parsed::Incomplete {
            needed: bytes.len() + 1,
            version: None,
        })
    } else {
        Err(ProxyProtocolError::NotAHeader {
            got: excerpt(bytes),
        })
    };
    parsed.unwrap_or_else(Parsed::Invalid)
}
