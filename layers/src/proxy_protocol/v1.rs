//! Version 1: a line of text (section 2.1 of the specification).

use super::{
    Addresses, EncodeError, Header, Parsed, ProxyProtocolError, Version, addresses::Written,
};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::{self, FromStr},
};

/// Section 2.2 distinguishes the versions by `PROXY`. The space completes the word.
pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// The longest line including its end: the "worst case" of section 2.1.
const MAX_LEN: usize = 107;

const KINDS: [&[u8]; 3] = [b"TCP4 ", b"TCP6 ", b"UNKNOWN"];

/// Parses `bytes` that begin with [`SIGNATURE`].
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyProtocolError> {
    let window = &bytes[..bytes.len().min(MAX_LEN)];
    let after = &window[SIGNATURE.len()..];
    if !KINDS
        .iter()
        .any(|kind| kind.starts_with(after) || after.starts_with(kind))
    {
        return Err(malformed("\"TCP4 \", \"TCP6 \" or \"UNKNOWN\"", after));
    }
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        if bytes.len() >= MAX_LEN {
            return Err(ProxyProtocolError::TooLong {
                version: Version::V1,
                max: MAX_LEN,
                got: bytes.len(),
            });
        }
        return Ok(Parsed::Incomplete {
            needed: bytes.len() + 1,
            version: Some(Version::V1),
        });
    };
    Ok(Parsed::Done {
        header: parse_line(&window[SIGNATURE.len()..end])?,
        len: end + 2,
    })
}

/// Parses the part between the signature and the end of the line.
fn parse_line(line: &[u8]) -> Result<Header, ProxyProtocolError> {
    if let Some(rest) = line.strip_prefix(b"UNKNOWN") {
        // Anything else in the line must be ignored.
        return match rest.first() {
            None | Some(b' ') => Ok(Header::v1_unknown()),
            Some(_) => Err(malformed("a space or CR LF after \"UNKNOWN\"", line)),
        };
    }
    let mut fields = line.split(|byte| *byte == b' ');
    let is_v4 = fields.next() == Some(b"TCP4");
    let (Some(source), Some(destination), Some(from), Some(to), None) = (
        fields.next(),
        fields.next(),
        fields.next(),
        fields.next(),
        fields.next(),
    ) else {
        return Err(malformed("two addresses and two ports", line));
    };
    let expected = match is_v4 {
        true => "an IPv4 address",
        false => "an IPv6 address",
    };
    let ip = |field| text::<IpAddr>(field).ok_or_else(|| malformed(expected, field));
    let (from_ip, to_ip) = (ip(source)?, ip(destination)?);
    // nginx writes the family of the client's address and then each address as it is, so the two
    // may be of different families.
    if from_ip.is_ipv4() != is_v4 && to_ip.is_ipv4() != is_v4 {
        return Err(malformed(expected, source));
    }
    Ok(Header::v1(
        SocketAddr::new(from_ip, port(from)?),
        SocketAddr::new(to_ip, port(to)?),
    ))
}

/// Section 2.1 forbids leading zeros. The standard library would accept them, and a sign.
fn port(field: &[u8]) -> Result<u16, ProxyProtocolError> {
    match (field, text(field)) {
        ([b'0'], Some(port)) | ([b'1'..=b'9', ..], Some(port)) => Ok(port),
        _ => Err(malformed(
            "a port from 0 to 65535 without leading zeros",
            field,
        )),
    }
}

fn text<T: FromStr>(field: &[u8]) -> Option<T> {
    str::from_utf8(field).ok()?.parse().ok()
}

fn malformed(expected: &'static str, got: &[u8]) -> ProxyProtocolError {
    ProxyProtocolError::malformed(Version::V1, expected, got)
}

pub(super) fn encode(header: &Header) -> Result<Vec<u8>, EncodeError> {
    if header.has_extras() {
        return Err(EncodeError::V1(
            "TLVs, a checksum, padding or a datagram socket",
        ));
    }
    let line = match header.addresses() {
        Addresses::Unknown => "PROXY UNKNOWN\r\n".to_owned(),
        Addresses::Ip {
            source,
            destination,
        } => {
            let (from, to) = (source.port(), destination.port());
            match Written::new(source, destination) {
                Written::V4([source, destination]) => {
                    format!("PROXY TCP4 {source} {destination} {from} {to}\r\n")
                }
                Written::V6(ips) => {
                    let [source, destination] = ips.map(Hexadecimal);
                    format!("PROXY TCP6 {source} {destination} {from} {to}\r\n")
                }
            }
        }
        Addresses::Unix { .. } => return Err(EncodeError::V1("Unix socket addresses")),
    };
    Ok(line.into_bytes())
}

/// Section 2.1 allows only hexadecimal digits, but `Ipv6Addr` writes the end of a mapped address
/// with dots.
struct Hexadecimal(Ipv6Addr);

impl fmt::Display for Hexadecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.to_ipv4_mapped(), self.0.segments()) {
            (Some(_), [.., high, low]) => write!(f, "::ffff:{high:x}:{low:x}"),
            (None, _) => self.0.fmt(f),
        }
    }
}
