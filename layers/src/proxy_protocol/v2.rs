//! Version 2: binary (section 2.2 of the specification).

use super::{
    Addresses, Command, EncodeError, Header, Parsed, ProxyProtocolError, SocketKind, Version,
    addresses::Written,
    tlv::{self, Tlv},
    unix,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and protocol, length.
const FIXED: usize = 16;

/// The length of a Unix address: `sun_path` as on Linux.
const UNIX: usize = 108;

/// Parses `bytes` that begin with [`SIGNATURE`]. An error is returned as soon as it can be
/// detected, except that addresses are parsed only when the whole header has been received.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyProtocolError> {
    let mut command = Command::Local;
    if let Some(byte) = bytes.get(12) {
        command = match byte {
            0x20 => Command::Local,
            0x21 => Command::Proxy,
            _ => return Err(malformed("0x20 (LOCAL) or 0x21 (PROXY)", &[*byte])),
        };
    }
    if let (Some(byte), Command::Proxy) = (bytes.get(13), command) {
        // The family of a LOCAL header must be ignored.
        if byte >> 4 > 3 || byte & 0xf > 2 {
            return Err(malformed("a known family and protocol", &[*byte]));
        }
    }
    let Some(length) = bytes.get(14..FIXED) else {
        return Ok(incomplete(FIXED));
    };
    let size = address_size(bytes[13]);
    let len = FIXED + usize::from(u16::from_be_bytes([length[0], length[1]]));
    if command == Command::Proxy && size.is_some_and(|size| len < FIXED + size) {
        return Err(malformed("a length that holds the addresses", length));
    }
    let Some(whole) = bytes.get(..len) else {
        return Ok(incomplete(len));
    };
    let header = match command {
        Command::Local => parse_local(whole)?,
        Command::Proxy => parse_proxy(whole, size)?,
    };
    Ok(Parsed::Done { header, len })
}

fn incomplete(needed: usize) -> Parsed {
    Parsed::Incomplete {
        needed,
        version: Some(Version::V2),
    }
}

/// Returns the length of the addresses of this family and protocol, or `None` if one of the two is
/// unspecified or unknown, so that nothing says where the addresses end.
fn address_size(byte: u8) -> Option<usize> {
    match byte {
        0x00 => Some(0),
        0x11 | 0x12 => Some(12),
        0x21 | 0x22 => Some(36),
        0x31 | 0x32 => Some(2 * UNIX),
        _ => None,
    }
}

/// Parses a LOCAL header. Its contents are to be discarded: whatever can be parsed is kept, and the
/// rest is not an error. A wrong checksum is an error, since nothing can be relied on then.
fn parse_local(whole: &[u8]) -> Result<Header, ProxyProtocolError> {
    let size = address_size(whole[13]);
    let start = size.and_then(|size| whole.get(FIXED + size..).map(|_| FIXED + size));
    let mut header = Header::v2_local();
    match start.map(|start| tlv::parse(whole, start)) {
        Some(Ok(tlvs)) => header.set_parsed(tlvs),
        Some(Err(error @ ProxyProtocolError::Checksum { .. })) => return Err(error),
        Some(Err(_)) | None => {}
    }
    Ok(header)
}

fn parse_proxy(whole: &[u8], size: Option<usize>) -> Result<Header, ProxyProtocolError> {
    let Some(size) = size else {
        return Ok(Header::v2_unknown());
    };
    let (addresses, _) = whole[FIXED..].split_at(size);
    let mut header = match whole[13] >> 4 {
        1 => ip_pair::<4>(addresses, |ip| Ipv4Addr::from(ip).into()),
        2 => ip_pair::<16>(addresses, |ip| Ipv6Addr::from(ip).into()),
        3 => Header::v2(
            unix::parse(&addresses[..UNIX]),
            unix::parse(&addresses[UNIX..]),
        ),
        _ => Header::v2_unknown(),
    };
    if whole[13] & 0xf == 2 {
        header = header.datagram();
    }
    header.set_parsed(tlv::parse(whole, FIXED + size)?);
    Ok(header)
}

/// Parses two addresses of `N` bytes, followed by their ports.
fn ip_pair<const N: usize>(bytes: &[u8], ip: impl Fn([u8; N]) -> IpAddr) -> Header {
    let addr = |index: usize| {
        let mut octets = [0; N];
        octets.copy_from_slice(&bytes[index * N..][..N]);
        let port = &bytes[2 * N + 2 * index..];
        SocketAddr::new(ip(octets), u16::from_be_bytes([port[0], port[1]]))
    };
    Header::v2(addr(0), addr(1))
}

fn malformed(expected: &'static str, got: &[u8]) -> ProxyProtocolError {
    ProxyProtocolError::malformed(Version::V2, expected, got)
}

pub(super) fn encode(header: &Header) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.push(match header.command() {
        Command::Local => 0x20,
        Command::Proxy => 0x21,
    });
    let kind = match header.socket_kind() {
        SocketKind::Stream => 1,
        SocketKind::Datagram => 2,
    };
    let family = bytes.len();
    // A placeholder for the length, which is not known yet.
    bytes.extend([kind, 0, 0]);
    match header.addresses() {
        Addresses::Unknown => bytes[family] = 0,
        Addresses::Ip {
            source,
            destination,
        } => {
            match Written::new(source, destination) {
                Written::V4(ips) => {
                    bytes[family] |= 0x10;
                    bytes.extend(ips.iter().flat_map(Ipv4Addr::octets));
                }
                Written::V6(ips) => {
                    bytes[family] |= 0x20;
                    bytes.extend(ips.iter().flat_map(Ipv6Addr::octets));
                }
            }
            bytes.extend(source.port().to_be_bytes());
            bytes.extend(destination.port().to_be_bytes());
        }
        Addresses::Unix {
            source,
            destination,
        } => {
            bytes[family] |= 0x30;
            for path in [source, destination] {
                let start = bytes.len();
                bytes.extend(unix::encode(path.as_deref()));
                if bytes.len() > start + UNIX {
                    return Err(EncodeError::UnixPath);
                }
                bytes.resize(start + UNIX, 0);
            }
        }
    }
    for tlv in header.tlvs() {
        tlv.encode(&mut bytes)?;
    }
    pad(header, &mut bytes)?;
    let sum = header
        .has_checksum()
        .then(|| tlv::start_checksum(&mut bytes));
    let len = u16::try_from(bytes.len() - FIXED).map_err(|_| EncodeError::TooLong)?;
    bytes[14..FIXED].copy_from_slice(&len.to_be_bytes());
    if let Some(at) = sum {
        tlv::finish_checksum(&mut bytes, at);
    }
    Ok(bytes)
}

fn pad(header: &Header, bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
    let checksum = if header.has_checksum() { 7 } else { 0 };
    let len = bytes.len() + checksum;
    if header.padded_to() <= len {
        return Ok(());
    }
    // A TLV has at least three bytes.
    let room = (header.padded_to() - len).max(3);
    Tlv::noop(room - 3).encode(bytes)
}
