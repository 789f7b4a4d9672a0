//! Encoding and decoding, with random values and random bytes.

use super::super::{
    carrier::decode,
    fields::put,
    manifest::{Entry, Manifest},
};
use super::*;
use crate::{
    addr::Addr,
    listener::{SocketFacts, SocketFile},
};
use std::{
    ffi::OsStr,
    net::{Ipv6Addr, SocketAddrV6},
    os::unix::ffi::OsStrExt,
};

/// A generator of pseudo-random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1))
            .map(|_| self.next() as u8)
            .collect()
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes(20)).into_owned()
    }

    fn path(&mut self) -> PathBuf {
        let mut bytes = self.bytes(30);
        bytes.push(b'x');
        OsStr::from_bytes(&bytes).into()
    }

    fn facts(&mut self) -> SocketFacts {
        let port = self.next() as u16;
        let addr = match self.below(4) {
            0 => Addr::Tcp(((self.next() as u32).to_be_bytes(), port).into()),
            1 => {
                let ip = Ipv6Addr::from(u128::from(self.next()) << 64 | u128::from(self.next()));
                let (flow, scope) = (self.next() as u32, self.next() as u32);
                Addr::Tcp(SocketAddrV6::new(ip, port, flow, scope).into())
            }
            2 => Addr::Unix(Some(self.path().into())),
            _ => Addr::Unix(None),
        };
        let has_file = addr.path().is_some() && self.below(2) == 0;
        SocketFacts {
            addr,
            is_fixed: self.below(2) == 0,
            is_adopted: self.below(2) == 0,
            file: has_file.then(|| SocketFile {
                path: self.path(),
                inode: (self.next(), self.next()),
            }),
        }
    }

    fn manifest(&mut self) -> Manifest {
        let entry = |random: &mut Self| Entry {
            requested: random.text(),
            facts: random.facts(),
            sockets: random.below(100) as u16 + 1,
        };
        Manifest {
            handover: self.facts(),
            listeners: (0..self.below(5)).map(|_| entry(self)).collect(),
        }
    }
}

#[test]
fn a_manifest_survives_encoding() {
    let mut random = Random(1);
    for _ in 0..2_000 {
        let manifest = random.manifest();
        assert_eq!(Manifest::decode(&manifest.encode()).unwrap(), manifest);
    }
}

#[test]
fn unknown_fields_of_a_later_version_are_skipped() {
    let mut random = Random(2);
    for _ in 0..500 {
        let manifest = random.manifest();
        let mut bytes = Vec::new();
        put(&mut bytes, 99, &random.bytes(20));
        for field in super::super::fields::Fields(&manifest.encode()) {
            let (tag, value) = field.unwrap();
            let mut value = value.to_vec();
            put(&mut value, 1000, &random.bytes(20));
            put(&mut bytes, tag, &value);
        }
        assert_eq!(Manifest::decode(&bytes).unwrap(), manifest);
    }
}

/// What is accepted can be written with no more bytes than it was read from, so the memory for it is
/// bounded by the input too.
fn check(bytes: &[u8]) -> bool {
    if let Ok(items) = decode(bytes) {
        assert!(items.iter().map(|(_, value)| value.len()).sum::<usize>() <= bytes.len());
    }
    let Ok(manifest) = Manifest::decode(bytes) else {
        return false;
    };
    let again = manifest.encode();
    assert!(again.len() <= bytes.len());
    assert_eq!(Manifest::decode(&again).unwrap(), manifest);
    true
}

#[test]
fn no_bytes_do_any_harm() {
    let mut random = Random(3);
    let mut accepted = 0;
    for _ in 0..20_000 {
        check(&random.bytes(100));
        let mut bytes = random.manifest().encode();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = random.next() as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                2 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, random.next() as u8),
            }
        }
        accepted += usize::from(check(&bytes));
    }
    assert!(accepted > 100, "the changes leave nothing to check");
}

#[test]
fn a_state_survives_encoding_and_wrong_ones_are_refused() {
    let (first, second) = (Bytes::new("a", b"1"), Bytes::new("b", &[0; 1000]));
    let saved = carrier(&[&first, &second]).save().unwrap();
    let items = decode(&saved).unwrap();
    assert_eq!(items[0], ("a".to_owned(), &b"1"[..]));
    assert_eq!(items[1], ("b".to_owned(), &[0; 1000][..]));
    for cut in 1..saved.len() {
        let whole_first = carrier(&[&first]).save().unwrap().len();
        assert_eq!(decode(&saved[..cut]).is_ok(), cut == whole_first);
    }
    let twice = [saved.clone(), saved].concat();
    let error = decode(&twice).unwrap_err().to_string();
    assert_eq!(error, "there are two states of the name \"a\"");
    let mut many = Vec::new();
    for _ in 0..2_000 {
        put(&mut many, 1, &[]);
    }
    assert!(decode(&many).is_err());
}

type Field<'a> = (u16, &'a [u8]);

#[test]
fn fields_that_are_missing_or_wrong_are_refused() {
    let mut manifest = Random(4).manifest();
    manifest.listeners.clear();
    let good = manifest.encode();
    Manifest::decode(&good).unwrap();
    let listener = |fields: &[Field<'_>]| {
        let mut listener = Vec::new();
        for (tag, value) in fields {
            put(&mut listener, *tag, value);
        }
        let mut bytes = good.clone();
        put(&mut bytes, 2, &listener);
        Manifest::decode(&bytes).unwrap_err().to_string()
    };
    let tcp: Field<'_> = (2, &[127, 0, 0, 1, 0, 80]);
    let name: Field<'_> = (1, b"a");
    let flags: Field<'_> = (4, &[0]);
    let sockets: Field<'_> = (6, &[0, 1]);
    let wrong: [(&[Field<'_>], &str); 13] = [
        (&[], "the requested address field is missing"),
        (&[name, tcp, sockets], "the flags field is missing"),
        (&[name, flags, sockets], "the address field is missing"),
        (
            &[tcp, flags, sockets],
            "the requested address field is missing",
        ),
        (
            &[name, tcp, flags, (6, &[0, 0])],
            "the sockets field is missing",
        ),
        (
            &[name, tcp, flags, (6, &[1])],
            "a field has 1 bytes; expected 2",
        ),
        (&[name, tcp, tcp, flags, sockets], "a field occurs twice"),
        (
            &[name, tcp, (3, b"/x"), flags, sockets],
            "a field occurs twice",
        ),
        (
            &[name, (2, &[1; 7]), flags, sockets],
            "a field has 7 bytes; expected 26",
        ),
        (
            &[(1, b"\xff"), tcp, flags, sockets],
            "a text is not valid UTF-8",
        ),
        (
            &[(1, &[b'x'; 5000]), tcp, flags, sockets],
            "a text has 5000 bytes",
        ),
        (
            &[name, (5, &[0; 15]), tcp, flags, sockets],
            "the file of a socket is cut off",
        ),
        (
            &[name, (5, &[0; 17]), tcp, flags, sockets],
            "a file belongs to 127.0.0.1:80",
        ),
    ];
    for (fields, expected) in wrong {
        let error = listener(fields);
        assert!(error.contains(expected), "{error}, not {expected}");
    }
    let mut many = good.clone();
    let mut entry = Vec::new();
    for (tag, value) in [name, tcp, flags, (6, &[0xff, 0xff])] {
        put(&mut entry, tag, value);
    }
    put(&mut many, 2, &entry);
    let error = Manifest::decode(&many).unwrap_err().to_string();
    assert_eq!(error, "there are 65536 sockets; expected at most 4096");
    let error = Manifest::decode(&[]).unwrap_err().to_string();
    assert_eq!(error, "the hand-over field is missing");
}
