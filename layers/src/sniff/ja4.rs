//! The JA4 fingerprint of a TLS client, as published by FoxIO:
//! <https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md>.

use super::{
    hello::{ALPN, SERVER_NAME, names},
    reader::{Fault, Reader},
};
use hmac_sha256::Hash;
use std::fmt::Write;

/// RFC 8446, sections 4.2.3 and 4.2.1.
const SIGNATURE_ALGORITHMS: usize = 13;
const SUPPORTED_VERSIONS: usize = 43;

/// The number of hexadecimal digits that are kept of a hash.
const HASH_LEN: usize = 12;

/// The hash of an empty list.
const EMPTY: &str = "000000000000";

/// The parts of a ClientHello that the fingerprint consists of, without GREASE.
#[derive(Default)]
struct Parts {
    version: u16,
    suites: Vec<u16>,
    extensions: Vec<u16>,
    signature_algorithms: Vec<u16>,
    /// The first protocol that the client offers.
    alpn: Vec<u8>,
}

/// Returns the fingerprint of a ClientHello, given the body of the message, which is valid.
pub(super) fn ja4(body: &[u8]) -> Option<Box<str>> {
    Some(Parts::read(Reader::new(body)).ok()?.fingerprint().into())
}

impl Parts {
    fn read(mut body: Reader<'_>) -> Result<Parts, Fault> {
        let mut parts = Parts::default();
        let version = body.u16()?;
        body.take(32)?;
        let session = body.u8()?;
        body.take(session)?;
        let suites = body.u16()?;
        parts.suites = values(body.take(suites)?);
        let compressions = body.u8()?;
        body.take(compressions)?;
        let mut versions = Vec::new();
        if !body.is_empty() {
            let len = body.u16()?;
            let mut extensions = body.block(len)?;
            while !extensions.is_empty() {
                let kind = extensions.take(2)?;
                parts.extensions.extend(values(kind));
                let len = extensions.u16()?;
                let data = extensions.take(len)?;
                match usize::from(u16::from_be_bytes([kind[0], kind[1]])) {
                    SIGNATURE_ALGORITHMS => {
                        parts.signature_algorithms = values(data.get(2..).unwrap_or_default());
                    }
                    SUPPORTED_VERSIONS => versions = values(data.get(1..).unwrap_or_default()),
                    ALPN => {
                        let first = names(data.get(2..).unwrap_or_default()).next();
                        parts.alpn = first.unwrap_or_default().to_vec();
                    }
                    _ => {}
                }
            }
        }
        let legacy = u16::try_from(version).unwrap_or_default();
        parts.version = versions.into_iter().max().unwrap_or(legacy);
        Ok(parts)
    }

    fn fingerprint(mut self) -> String {
        let version = match self.version {
            0x0304 => "13",
            0x0303 => "12",
            0x0302 => "11",
            0x0301 => "10",
            0x0300 => "s3",
            0x0002 => "s2",
            _ => "00",
        };
        let has_name = self.extensions.contains(&(SERVER_NAME as u16));
        let destination = if has_name { 'd' } else { 'i' };
        let (suites, extensions) = (self.suites.len().min(99), self.extensions.len().min(99));
        let [first, last] = ends(&self.alpn);
        self.suites.sort_unstable();
        self.extensions.sort_unstable();
        // They are in the first part already.
        let is_there = |kind: &u16| [SERVER_NAME, ALPN].contains(&usize::from(*kind));
        self.extensions.retain(|kind| !is_there(kind));
        let mut listed = list(&self.extensions);
        if !self.signature_algorithms.is_empty() && !listed.is_empty() {
            listed = format!("{listed}_{}", list(&self.signature_algorithms));
        }
        format!(
            "t{version}{destination}{suites:02}{extensions:02}{first}{last}_{}_{}",
            hash(&list(&self.suites)),
            hash(&listed)
        )
    }
}

/// Returns a list of two-byte values without GREASE (RFC 8701).
fn values(bytes: &[u8]) -> Vec<u16> {
    let values = bytes.chunks_exact(2);
    values
        .filter(|value| value[0] != value[1] || value[0] & 0x0f != 0x0a)
        .map(|value| u16::from_be_bytes([value[0], value[1]]))
        .collect()
}

/// Returns the first and the last character of a protocol, or of its bytes in hexadecimal if one of
/// them is not alphanumeric.
fn ends(alpn: &[u8]) -> [char; 2] {
    let (Some(first), Some(last)) = (alpn.first(), alpn.last()) else {
        return ['0', '0'];
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(*first), char::from(*last)];
    }
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    [digit(first >> 4), digit(last & 0x0f)]
}

fn list(values: &[u16]) -> String {
    let mut text = String::with_capacity(values.len() * 5);
    for (index, value) in values.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(text, "{comma}{value:04x}");
    }
    text
}

fn hash(list: &str) -> String {
    if list.is_empty() {
        return EMPTY.to_owned();
    }
    let hash = Hash::hash(list.as_bytes());
    let digits = hash.iter().take(HASH_LEN / 2);
    digits.fold(String::with_capacity(HASH_LEN), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
