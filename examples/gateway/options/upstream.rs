//! The values of the options of upstreams.

use clap::ValueEnum;
use reagent_layers::upstream;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How one of several upstreams is chosen.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// The one with fewer open connections, of two that are drawn by weight
    P2c,
    /// Always the same for the same client address
    Hash,
}

impl From<Balance> for upstream::Balance {
    fn from(balance: Balance) -> Self {
        match balance {
            Balance::P2c => upstream::Balance::P2c,
            Balance::Hash => upstream::Balance::Hash,
        }
    }
}

/// How upstreams are checked.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum HealthCheck {
    Tcp,
    Tls,
    /// A request for this path.
    Http(String),
}

impl FromStr for HealthCheck {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_path =
            |path: &str| path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        match text.split_once(':') {
            None if text == "tcp" => Ok(HealthCheck::Tcp),
            None if text == "tls" => Ok(HealthCheck::Tls),
            Some(("http", path)) if is_path(path) => Ok(HealthCheck::Http(path.to_owned())),
            _ => Err(format!(
                "invalid check {text:?}: expected tcp, tls or http:PATH, as in http:/ready"
            )),
        }
    }
}

impl fmt::Display for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HealthCheck::Tcp => f.write_str("tcp"),
            HealthCheck::Tls => f.write_str("tls"),
            HealthCheck::Http(path) => write!(f, "http:{path}"),
        }
    }
}

impl TryFrom<String> for HealthCheck {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<HealthCheck> for String {
    fn from(check: HealthCheck) -> Self {
        check.to_string()
    }
}
