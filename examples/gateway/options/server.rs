//! The options of the process.

use crate::{options::path, values::Count};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The options of the process, and what all listeners share.
#[derive(Args, Clone, Debug, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ServerOptions {
    /// Maximum number of open connections [default: unlimited]
    #[arg(long, value_name = "N")]
    pub max_connections: Option<Count>,
    /// Path of the Unix socket by which a gateway that is started later, with the same option,
    /// takes over the addresses. This one then drains and exits
    #[arg(long, value_name = "PATH", value_parser = path())]
    pub handover: Option<PathBuf>,
    /// Number of worker threads [default: number of cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<Count>,
    /// Close silent connections, and let new clients wait, when descriptors or memory become short
    #[arg(long)]
    pub pressure: bool,
}
