//! The protection against clients that misbehave.

use crate::{config::Config, options::AbuseOptions, values::Count};
use reagent_layers::{
    Tarpit,
    access::Bans,
    metrics::MetricsObserver,
    score::{Banned, Score},
    top::{TopBy, TopClients},
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// The time in which as many offences are forgotten as lead to a ban.
const DRAIN_TIME: Duration = Duration::from_secs(60);

/// The time after which the counts of the first clients are halved.
const HALF_LIFE: Duration = Duration::from_secs(600);

/// The number of clients whose counts are in the metrics.
const FIRST: usize = 10;

/// The protection against clients that misbehave, which all listeners share.
#[derive(Clone, Debug)]
pub struct Abuse {
    pub bans: Bans,
    /// Without the option it holds nobody.
    pub tarpit: Tarpit,
    pub top: TopClients,
    /// The score that the server was started with.
    score: Arc<OnceLock<Score>>,
}

impl Abuse {
    pub fn new(options: &AbuseOptions) -> Self {
        Abuse {
            bans: Bans::new(),
            tarpit: Tarpit::new(options.tarpit.map_or(0, Count::as_usize)),
            top: TopClients::new().half_life(HALF_LIFE),
            score: Arc::default(),
        }
    }

    /// Applies the options that can change while the gateway runs.
    pub fn set(&self, config: &Config) {
        let max = config.global.abuse.tarpit;
        self.tarpit.set_max(max.map_or(0, Count::as_usize));
        if let Some(score) = self.score.get() {
            score.set_dry_run(config.tries_bans());
        }
    }

    /// Makes the score of clients, if it is configured. It adds to the bans.
    pub fn score(&self, config: &Config, metrics: Option<MetricsObserver>) -> Option<Score> {
        let options = &config.global.abuse;
        let score = Score::new(self.bans.clone())
            .points(options.ban_score?.get() as f64, DRAIN_TIME)
            .ban_time(options.ban_time.0, options.ban_time_max.0)
            .dry_run(config.tries_bans())
            .on_ban(move |ban| report(ban, metrics.as_ref()));
        // An invalid header or a health check is not the fault of the proxy.
        let trusted = config.listeners.iter().flat_map(|listener| &listener.trust);
        let exempt = options.ban_exempt.iter().chain(trusted);
        let score = exempt.fold(score, |score, network| score.exempt(*network));
        Some(self.score.get_or_init(|| score).clone())
    }

    /// Updates the metrics.
    pub fn measure(&self, metrics: &MetricsObserver) {
        let held = self.tarpit.stats();
        metrics.set_tarpit(held.held, held.overflowed, held.gave_way);
        for by in TopBy::ALL {
            let first = self.top.by(by, FIRST).into_iter();
            metrics.set_top_clients(by.as_str(), first.map(|top| top.count));
        }
    }
}

fn report(ban: &Banned, metrics: Option<&MetricsObserver>) {
    let (client, offence, seconds) = (ban.client, ban.offence, ban.lasts.as_secs_f64());
    match ban.dry_run {
        true => tracing::info!(%client, %offence, seconds, "client would be banned"),
        false => tracing::info!(%client, %offence, seconds, "client banned"),
    }
    if let Some(metrics) = metrics {
        metrics.client_banned(offence.as_str(), ban.dry_run);
    }
}
