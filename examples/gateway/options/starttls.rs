//! Protocols in which clients ask for TLS.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum StartTls {
    Ldap,
    Postgres,
}

/// The treatment of clients that do not ask for TLS.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Plaintext {
    Refuse,
    Pass,
}

impl StartTls {
    /// Returns the ALPN protocol of clients that begin with TLS, if they may.
    pub fn alpn(self) -> Option<&'static str> {
        match self {
            StartTls::Ldap => None,
            StartTls::Postgres => Some("postgresql"),
        }
    }
}
