//! The parser of headers that may not have been received in full.

use super::{
    Header, ProxyProtocolError, Version,
    error::excerpt,
    v1,
    v2::{self, SIGNATURE},
};

/// The result of [`parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The bytes may become a header.
    Incomplete {
        /// The number of bytes to collect before calling again.
        needed: usize,
        /// The version, if the whole signature has been received. The bytes then cannot be anything
        /// else.
        version: Option<Version>,
    },
    /// The bytes begin with a header.
    Done {
        /// The header.
        header: Header,
        /// The length of the header in bytes. Whatever follows is data.
        len: usize,
    },
    /// The bytes do not begin with a header, whatever follows.
    Invalid(ProxyProtocolError),
}

/// Parses a header of either version at the beginning of `bytes`.
///
/// No state is kept between calls: if a header arrives in pieces, pass everything received so far
/// each time. A header that is cut off anywhere is [`Incomplete`](Parsed::Incomplete). A result
/// that is [`Invalid`](Parsed::Invalid) does not change with the bytes that follow.
///
/// A header of version 2 may claim a length of up to 65,551 bytes, so check `needed` before waiting
/// for them.
///
/// # Example
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
