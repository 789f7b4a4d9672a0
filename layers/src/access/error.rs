//! What is wrong with a rule.

use ipnet::AddrParseError;
use std::{error::Error, fmt};

/// The error of a network that cannot be parsed.
#[derive(Clone, Debug)]
pub struct NetError {
    text: String,
    source: AddrParseError,
}

impl NetError {
    pub(super) fn new(text: &str, source: AddrParseError) -> Self {
        NetError {
            text: text.to_owned(),
            source,
        }
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid network {:?}: expected an address or CIDR such as 192.0.2.0/24",
            self.text
        )
    }
}

impl Error for NetError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
