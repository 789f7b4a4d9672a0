//! The options of the pages.

use crate::values::{ListenAddr, Secret};
use clap::Args;
use reagent::BoxError;
use serde::{Deserialize, Serialize};

/// The environment variable with the token of the admin page.
const TOKEN: &str = "GATEWAY_ADMIN_TOKEN";

/// The options of the pages.
#[derive(Args, Clone, Debug, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct PageOptions {
    /// Address to serve Prometheus metrics on: http://ADDR/metrics
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<ListenAddr>,
    /// Address of the admin page: HOST:PORT or the path of a Unix socket. Other machines can reach
    /// it only with a token
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<ListenAddr>,
    /// Token that the admin page requires. Without this option, it is taken from the environment
    /// variable GATEWAY_ADMIN_TOKEN, which keeps it out of the list of processes
    #[arg(long, value_name = "TOKEN")]
    pub admin_token: Option<Secret>,
}

impl PageOptions {
    /// Returns the token of the admin page. The environment is not part of the configuration, so a
    /// token from there is not in a dump.
    pub fn token(&self) -> Result<Option<Secret>, BoxError> {
        if self.admin_token.is_some() {
            return Ok(self.admin_token.clone());
        }
        let token = std::env::var_os(TOKEN).filter(|token| !token.is_empty());
        let token = token.map(|token| token.to_string_lossy().parse());
        token
            .transpose()
            .map_err(|problem| format!("invalid {TOKEN}: {problem}").into())
    }
}
