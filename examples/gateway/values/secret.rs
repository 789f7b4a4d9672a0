//! Tokens.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A token, which is not in logs. It is sent in a header, so it can have only some characters.
#[derive(Clone, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "String")]
pub struct Secret(pub String);

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Secret(text.to_owned())),
            false => Err("expected letters, digits and punctuation of ASCII, without spaces"),
        }
    }
}

impl TryFrom<String> for Secret {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
