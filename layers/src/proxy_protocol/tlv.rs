//! The type-length-value fields of a header of version 2 (sections 2.2.1 to 2.2.8).

use super::{EncodeError, ProxyProtocolError, Ssl, Version};
use crc::{CRC_32_ISCSI, Crc};
use std::str;

const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const NOOP: u8 = 0x04;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;
const NETNS: u8 = 0x30;

/// Section 2.2.5.
const UNIQUE_ID_MAX: usize = 128;

/// The polynomial of iSCSI (RFC 3720) and SCTP, to which section 2.2.3 refers.
static CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// A type-length-value field of a header of version 2.
///
/// A field that should be text but is not stays [`Raw`](Tlv::Raw). The client chooses the server
/// name, for example, and a proxy need not check it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tlv {
    /// The protocol negotiated with the client (ALPN), such as `h2`.
    Alpn(Vec<u8>),
    /// The host name that the client asked for. With TLS, this is the server name (SNI).
    Authority(String),
    /// An ID of this connection that all proxies on its path share, at most 128 bytes.
    UniqueId(Vec<u8>),
    /// The encryption between the client and the proxy.
    Ssl(Ssl),
    /// The name of the network namespace.
    Netns(String),
    /// Any other field, unchanged. To add a checksum, use
    /// [`Header::checksum`](super::Header::checksum) instead.
    Raw {
        /// The type.
        kind: u8,
        /// The value.
        value: Vec<u8>,
    },
}

impl Tlv {
    /// The type that Google Cloud uses, for a Private Service Connect ID.
    pub const GCP: u8 = 0xE0;
    /// The type that AWS uses: a byte of subtype (1 for the ID of a VPC endpoint), then the value.
    pub const AWS: u8 = 0xEA;
    /// The type that Azure uses: a byte of subtype (1 for the ID of a private endpoint), then the
    /// value.
    pub const AZURE: u8 = 0xEE;

    pub(super) fn noop(len: usize) -> Self {
        Tlv::Raw {
            kind: NOOP,
            value: vec![0; len],
        }
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Tlv::Alpn(value) => put(bytes, ALPN, value),
            Tlv::Authority(value) => put(bytes, AUTHORITY, value.as_bytes()),
            Tlv::UniqueId(value) if value.len() > UNIQUE_ID_MAX => Err(EncodeError::UniqueId),
            Tlv::UniqueId(value) => put(bytes, UNIQUE_ID, value),
            Tlv::Ssl(ssl) => put(bytes, SSL, &ssl.encode()?),
            Tlv::Netns(value) => put(bytes, NETNS, value.as_bytes()),
            Tlv::Raw { kind, value } => put(bytes, *kind, value),
        }
    }

    fn parse(kind: u8, value: &[u8]) -> Result<Self, ProxyProtocolError> {
        let raw = || Tlv::Raw {
            kind,
            value: value.to_vec(),
        };
        let text = |of: fn(String) -> Tlv| match str::from_utf8(value) {
            Ok(text) => of(text.to_owned()),
            Err(_) => raw(),
        };
        Ok(match kind {
            ALPN => Tlv::Alpn(value.to_vec()),
            AUTHORITY => text(Tlv::Authority),
            UNIQUE_ID if value.len() > UNIQUE_ID_MAX => {
                return Err(malformed("a unique id of at most 128 bytes", value));
            }
            UNIQUE_ID => Tlv::UniqueId(value.to_vec()),
            SSL => match Ssl::parse(value) {
                Some(ssl) => Tlv::Ssl(ssl),
                None => return Err(malformed("flags, a result and TLVs in the SSL TLV", value)),
            },
            NETNS => text(Tlv::Netns),
            _ => raw(),
        })
    }
}

/// The result of [`parse`], without padding.
#[derive(Default)]
pub(super) struct Tlvs {
    pub(super) items: Vec<Tlv>,
    pub(super) is_checked: bool,
}

/// Parses the TLVs of the `whole` header from `start` to its end, and verifies the checksum if
/// there is one.
pub(super) fn parse(whole: &[u8], start: usize) -> Result<Tlvs, ProxyProtocolError> {
    let mut tlvs = Tlvs::default();
    let mut at = start;
    for item in items(&whole[start..]) {
        let (kind, value) = item?;
        at += 3;
        match kind {
            CRC32C if tlvs.is_checked => return Err(malformed("one checksum", value)),
            CRC32C => {
                check(whole, at, value)?;
                tlvs.is_checked = true;
            }
            NOOP => {}
            _ => tlvs.items.push(Tlv::parse(kind, value)?),
        }
        at += value.len();
    }
    Ok(tlvs)
}

/// Verifies the checksum, which is computed with zeros in its own place (section 2.2.3).
fn check(whole: &[u8], at: usize, value: &[u8]) -> Result<(), ProxyProtocolError> {
    let Ok(got) = <[u8; 4]>::try_from(value) else {
        return Err(malformed("a checksum of four bytes", value));
    };
    let mut digest = CHECKSUM.digest();
    digest.update(&whole[..at]);
    digest.update(&[0; 4]);
    digest.update(&whole[at + 4..]);
    let (expected, got) = (digest.finalize(), u32::from_be_bytes(got));
    match expected == got {
        true => Ok(()),
        false => Err(ProxyProtocolError::Checksum { expected, got }),
    }
}

/// Splits bytes into types and values. Stops after an entry that is not complete.
pub(super) fn items(
    mut bytes: &[u8],
) -> impl Iterator<Item = Result<(u8, &[u8]), ProxyProtocolError>> {
    std::iter::from_fn(move || {
        let all = std::mem::take(&mut bytes);
        if all.is_empty() {
            return None;
        }
        let item = all.split_first_chunk::<3>().and_then(|(head, rest)| {
            let len = usize::from(u16::from_be_bytes([head[1], head[2]]));
            let (value, rest) = rest.split_at_checked(len)?;
            bytes = rest;
            Some((head[0], value))
        });
        Some(item.ok_or_else(|| malformed("a whole TLV", all)))
    })
}

/// Appends an entry.
pub(super) fn put(bytes: &mut Vec<u8>, kind: u8, value: &[u8]) -> Result<(), EncodeError> {
    let len = u16::try_from(value.len()).map_err(|_| EncodeError::TooLong)?;
    bytes.push(kind);
    bytes.extend(len.to_be_bytes());
    bytes.extend(value);
    Ok(())
}

/// Appends an empty checksum, and returns the position of its value.
pub(super) fn start_checksum(bytes: &mut Vec<u8>) -> usize {
    bytes.extend([CRC32C, 0, 4, 0, 0, 0, 0]);
    bytes.len() - 4
}

/// Writes the checksum of all bytes to its position.
pub(super) fn finish_checksum(bytes: &mut [u8], at: usize) {
    let sum = CHECKSUM.checksum(bytes);
    bytes[at..at + 4].copy_from_slice(&sum.to_be_bytes());
}

fn malformed(expected: &'static str, got: &[u8]) -> ProxyProtocolError {
    ProxyProtocolError::malformed(Version::V2, expected, got)
}

#[cfg(test)]
mod tests {
    use super::CHECKSUM;

    /// RFC 3720, appendix B.4, lists the bytes in the order in which iSCSI sends them.
    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        let read_10 = [
            0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 4, 0, 0, 0,
            0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
        ];
        for (bytes, sum) in [
            (&[0; 32][..], [0xaa, 0x36, 0x91, 0x8a]),
            (&[0xff; 32], [0x43, 0xab, 0xa8, 0x62]),
            (&ascending, [0x4e, 0x79, 0xdd, 0x46]),
            (&descending, [0x5c, 0xdb, 0x3f, 0x11]),
            (&read_10, [0x56, 0x3a, 0x96, 0xd9]),
        ] {
            assert_eq!(CHECKSUM.checksum(bytes).to_le_bytes(), sum, "{bytes:?}");
        }
    }
}
