//! The options against clients that misbehave.

use crate::values::{Count, TimeLimit, list};
use clap::Args;
use reagent_layers::Network;
use serde::{Deserialize, Serialize};

/// The options against clients that misbehave.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct AbuseOptions {
    /// Maximum number of refused clients that are kept waiting for up to a minute instead of being
    /// closed. They give way to clients that wait for a place [default: none]
    #[arg(long, value_name = "N")]
    pub tarpit: Option<Count>,
    /// Ban a client with this many offences, such as failed handshakes and refusals. As many are
    /// forgotten in a minute [default: never]
    #[arg(long, value_name = "N")]
    pub ban_score: Option<Count>,
    /// Duration of a client's first ban in seconds. Each ban is twice as long as the one before
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    pub ban_time: TimeLimit,
    /// Maximum duration of a ban in seconds
    #[arg(long, value_name = "SECONDS", default_value = "3600")]
    pub ban_time_max: TimeLimit,
    /// Networks whose clients are never banned for offences, separated by commas, besides those of
    /// `trust`
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    #[serde(with = "list")]
    pub ban_exempt: Vec<Network>,
}

impl AbuseOptions {
    /// Returns whether clients are scored and banned in the same way.
    pub fn has_same_score(&self, other: &AbuseOptions) -> bool {
        let tarpit = self.tarpit;
        *self
            == AbuseOptions {
                tarpit,
                ..other.clone()
            }
    }

    /// Describes the options that are set.
    pub fn lines(&self, is_dry: bool) -> Vec<String> {
        let tarpit = self.tarpit.map(|max| format!("tarpit: {max} clients"));
        let score = self.ban_score.map(|score| {
            let dry = if is_dry { " (dry run)" } else { "" };
            let (first, longest) = (self.ban_time.0, self.ban_time_max.0);
            format!("ban-score: {score}, for {first:?} to {longest:?}{dry}")
        });
        [tarpit, score].into_iter().flatten().collect()
    }

    /// Returns what is wrong with the options.
    pub fn problem(&self) -> Option<&'static str> {
        if !self.ban_exempt.is_empty() && self.ban_score.is_none() {
            return Some("`ban-exempt` requires `ban-score`");
        }
        (self.ban_time.0 > self.ban_time_max.0)
            .then_some("`ban-time` is longer than `ban-time-max`")
    }
}
