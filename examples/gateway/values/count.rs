//! Numbers of things.

use serde::{Deserialize, Deserializer, Serialize, de};
use std::{fmt, str::FromStr};

const A_NUMBER: &str = "a whole number of at least 1";
const TOO_LARGE: &str = "the number is too large; leave it out for no limit";
const ZERO: &str = "expected a whole number of at least 1; leave it out for no limit";

/// A number from 1 to the largest of TOML.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Count(u64);

impl Count {
    pub fn get(self) -> u64 {
        self.0
    }

    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    fn new(number: u64) -> Result<Self, &'static str> {
        match number {
            0 => Err(ZERO),
            1..=0x7fff_ffff_ffff_ffff => Ok(Count(number)),
            _ => Err(TOO_LARGE),
        }
    }
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("expected {A_NUMBER}"));
        }
        let number = text.parse().map_err(|_| TOO_LARGE)?;
        Ok(Count::new(number)?)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl de::Visitor<'_> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(A_NUMBER)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Count, E> {
        let number = u64::try_from(number)
            .map_err(|_| E::custom(format_args!("expected {A_NUMBER}, not {number}")))?;
        self.visit_u64(number)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Count, E> {
        Count::new(number).map_err(E::custom)
    }

    fn visit_i128<E: de::Error>(self, number: i128) -> Result<Count, E> {
        match number {
            ..0 => Err(E::custom(format_args!("expected {A_NUMBER}, not {number}"))),
            _ => Err(E::custom(TOO_LARGE)),
        }
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Count, E> {
        Err(E::custom(TOO_LARGE))
    }
}
