//! The options of a shutdown.

use crate::values::Seconds;
use clap::Args;
use reagent::Shutdown;
use serde::{Deserialize, Serialize};

/// The options of a shutdown.
#[derive(Args, Clone, Debug, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ShutdownOptions {
    /// Time limit of a drain in seconds. Connections are closed once neither side has sent anything
    /// for a second; those that remain at the limit are reset on both sides
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    pub drain: Seconds,
    /// Time in seconds between SIGTERM and the drain. Clients are still accepted, while /ready of
    /// the pages answers 503, so that a load balancer sends them elsewhere
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    pub lame_duck: Seconds,
    /// Time in seconds over which a drain reaches all connections, so that their clients do not
    /// reconnect at the same time
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    pub spread: Seconds,
}

impl ShutdownOptions {
    pub fn shutdown(&self) -> Shutdown {
        Shutdown::new(self.drain.0)
            .lame_duck(self.lame_duck.0)
            .spread(self.spread.0)
    }

    /// Returns what is allowed and probably a mistake.
    pub fn warning(&self) -> Option<String> {
        let (spread, drain) = (self.spread, self.drain);
        (spread.0 > drain.0).then(|| {
            format!(
                "`spread` is {spread} s, but the drain ends after {drain} s: all connections are \
                 reached within the {drain} s; raise `drain` or lower `spread`"
            )
        })
    }
}
