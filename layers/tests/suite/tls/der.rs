//! Just enough DER to create a certificate of a kind that is no longer issued.

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
/// The tags of the version and the extensions of a certificate (RFC 5280, section 4.1).
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

/// Returns the tag of the first element, its contents, and its total length.
fn first(der: &[u8]) -> (u8, &[u8], usize) {
    let (begin, len) = match der[1] {
        short @ 0..=0x7f => (2, usize::from(short)),
        long => {
            let end = 2 + usize::from(long & 0x7f);
            let bytes = &der[2..end];
            let len = bytes
                .iter()
                .fold(0, |len, &byte| len << 8 | usize::from(byte));
            (end, len)
        }
    };
    (der[0], &der[begin..begin + len], begin + len)
}

/// Splits into elements, each with its tag and all of its bytes.
fn elements(mut der: &[u8]) -> Vec<(u8, &[u8])> {
    let mut elements = Vec::new();
    while !der.is_empty() {
        let (tag, _, len) = first(der);
        let (element, rest) = der.split_at(len);
        elements.push((tag, element));
        der = rest;
    }
    elements
}

/// Removes the version and the extensions of a certificate, and signs it again.
pub fn in_version_1(certificate: &[u8], sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let (_, contents, _) = first(certificate);
    let [(_, to_sign), (_, algorithm), _] = elements(contents)[..] else {
        panic!("no certificate")
    };
    let (_, fields, _) = first(to_sign);
    let kept: Vec<_> = elements(fields)
        .into_iter()
        .filter(|(tag, _)| ![VERSION, EXTENSIONS].contains(tag))
        .map(|(_, element)| element)
        .collect();
    let to_sign = encode(SEQUENCE, &kept.concat());
    let signature = [&[0][..], &sign(&to_sign)].concat();
    let contents = [&to_sign[..], algorithm, &encode(BIT_STRING, &signature)].concat();
    encode(SEQUENCE, &contents)
}

/// Encodes an element, with its length in as few bytes as DER requires.
pub fn encode(tag: u8, contents: &[u8]) -> Vec<u8> {
    match contents.len() {
        len @ 0..=0x7f => [&[tag, len as u8], contents].concat(),
        len @ 0x80..=0xff => [&[tag, 0x81, len as u8], contents].concat(),
        len => {
            let len = u16::try_from(len).unwrap().to_be_bytes();
            [&[tag, 0x82], &len[..], contents].concat()
        }
    }
}
