//! The JA4 fingerprint of TLS clients.

use reagent_layers::access::{InvalidFingerprint, Rules};
use std::{fmt, str::FromStr};

/// A valid JA4 fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(String);

impl AsRef<str> for Fingerprint {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        Rules::new().deny_ja4([text])?;
        Ok(Fingerprint(text.to_owned()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
