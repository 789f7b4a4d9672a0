//! Times.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr, time::Duration};

/// The longest time, which is about 30 years.
const LONGEST: f64 = 1e9;

const A_NUMBER: &str = "a number of seconds from 0 to 1000000000";
const EXPECTED: &str = "expected a number of seconds from 0 to 1000000000";

/// A time in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seconds(pub Duration);

impl Seconds {
    fn new(seconds: f64) -> Result<Self, String> {
        match (0.0..=LONGEST).contains(&seconds) {
            true => Ok(Seconds(Duration::from_secs_f64(seconds))),
            // A large number is printed with an exponent.
            false if seconds.abs() > LONGEST => Err(format!("{EXPECTED}, not {seconds:e}")),
            false => Err(format!("{EXPECTED}, not {seconds}")),
        }
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map_or(Err(EXPECTED.to_owned()), Seconds::new)
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_secs_f64().fmt(f)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.subsec_nanos() {
            0 => serializer.serialize_u64(self.0.as_secs()),
            _ => serializer.serialize_f64(self.0.as_secs_f64()),
        }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecondsVisitor)
    }
}

struct SecondsVisitor;

impl de::Visitor<'_> for SecondsVisitor {
    type Value = Seconds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(A_NUMBER)
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Seconds, E> {
        Seconds::new(seconds).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Seconds, E> {
        self.visit_f64(seconds as f64)
    }
}

/// A time limit, which must not be 0, because 0 would end every connection at once.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "Seconds", into = "Seconds")]
pub struct TimeLimit(pub Duration);

impl TryFrom<Seconds> for TimeLimit {
    type Error = &'static str;

    fn try_from(Seconds(limit): Seconds) -> Result<Self, Self::Error> {
        match limit {
            Duration::ZERO => Err("must be greater than 0; omit the option for no limit"),
            limit => Ok(TimeLimit(limit)),
        }
    }
}

impl From<TimeLimit> for Seconds {
    fn from(TimeLimit(limit): TimeLimit) -> Self {
        Seconds(limit)
    }
}

impl FromStr for TimeLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(text.parse::<Seconds>()?.try_into()?)
    }
}
