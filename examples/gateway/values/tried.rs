//! The options that can be tried in a dry run.

use crate::file::hint;
use std::{fmt, str::FromStr};

const ALL: &str = "all";

const NAMES: [&str; 12] = [
    ALL,
    "accept-rate",
    "allow",
    "ban-score",
    "bandwidth",
    "cluster-per-client",
    "deny",
    "deny-ja4",
    "first-byte-timeout",
    "idle-timeout",
    "max-age",
    "per-client",
];

/// The name of an option that can be tried, or `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried(&'static str);

impl Tried {
    pub fn covers(self, option: &str) -> bool {
        self.0 == ALL || self.0 == option
    }
}

impl FromStr for Tried {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match NAMES.into_iter().find(|name| *name == text) {
            Some(name) => Ok(Tried(name)),
            None => Err(format!(
                "`{text}` has no dry run{}; expected {}",
                hint(text, &NAMES),
                NAMES.join(", ")
            )),
        }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
