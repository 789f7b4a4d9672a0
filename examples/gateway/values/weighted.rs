//! The address of an upstream, with its weight.

use super::Target;
use std::{fmt, str::FromStr};

/// The largest weight.
const LARGEST: u32 = 1_000_000;

/// An address and a weight, written as `ADDR` or `ADDR=WEIGHT`.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedTarget {
    pub target: Target,
    /// The weight, which is 1 if it is not written.
    pub weight: u32,
}

impl FromStr for WeightedTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (target, weight) = match text.rsplit_once('=') {
            // The path of a socket may have the sign too.
            Some((target, weight)) if !target.is_empty() && is_number(weight) => {
                (target, weight.parse().unwrap_or(u32::MAX))
            }
            _ => (text, 1),
        };
        if weight > LARGEST {
            return Err(format!(
                "invalid weight in {text:?}: expected at most {LARGEST}"
            ));
        }
        Ok(WeightedTarget {
            target: target.parse()?,
            weight,
        })
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for WeightedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)?;
        match self.weight {
            1 => Ok(()),
            weight => write!(f, "={weight}"),
        }
    }
}
