//! The JA4 fingerprints that are denied.

use reagent::ConnectionHandle;
use std::{collections::HashSet, error::Error, fmt, sync::Arc};

/// The label in which `sniff` leaves the fingerprint of a TLS client.
const LABEL: &str = "tls.client.ja4";

/// A set of fingerprints. Clones share it until one of them is changed.
#[derive(Clone, Default)]
pub(super) struct Fingerprints(Arc<HashSet<Box<str>>>);

impl Fingerprints {
    pub(super) fn add(&mut self, fingerprint: &str) -> Result<(), InvalidFingerprint> {
        if !is_ja4(fingerprint) {
            return Err(InvalidFingerprint(fingerprint.to_owned()));
        }
        Arc::make_mut(&mut self.0).insert(fingerprint.into());
        Ok(())
    }

    pub(super) fn contain(&self, connection: &ConnectionHandle) -> bool {
        // Reading a label takes a lock and copies it.
        !self.0.is_empty()
            && connection
                .label(LABEL)
                .is_some_and(|ja4| self.0.contains(&*ja4))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Returns whether a client of TLS over TCP can have this fingerprint.
fn is_ja4(text: &str) -> bool {
    let parts: Vec<&[u8]> = text.as_bytes().split(|byte| *byte == b'_').collect();
    let [facts, suites, rest] = parts[..] else {
        return false;
    };
    let is_hash = |part: &[u8]| {
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        part.len() == 12 && part.iter().all(is_digit)
    };
    let [b't', _, _, b'd' | b'i', counts @ .., first, last] = facts else {
        return false;
    };
    counts.len() == 4
        && counts.iter().all(u8::is_ascii_digit)
        && first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && is_hash(suites)
        && is_hash(rest)
}

/// The error of a text that is not a JA4 fingerprint of TLS over TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidFingerprint(String);

impl fmt::Display for InvalidFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid JA4 fingerprint {:?}: expected one such as \
             t13d1516h2_8daaf6152771_e5627efa2ab1",
            self.0
        )
    }
}

impl Error for InvalidFingerprint {}
