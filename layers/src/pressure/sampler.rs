//! The task that samples the sources and acts on the server.

use super::{
    Actions, Builder, Moment, Source,
    ceiling::Ceiling,
    idle::Idle,
    level::{Level, Reading},
    pressure::Shared,
};
use reagent::{Readiness, ReadinessHold, ServerHandle, ServerStatus};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// The reason for which the readiness is held back.
const REASON: &str = "pressure";

/// What the task owns. Everything is undone when it is dropped.
pub(super) struct Sampler {
    shared: Arc<Shared>,
    server: ServerHandle,
    readiness: Readiness,
    sources: Vec<Box<dyn Source>>,
    actions: Actions,
    interval: Duration,
    hysteresis: f64,
    level: Level,
    hold: Option<ReadinessHold>,
    idle: Idle,
    ceiling: Option<Ceiling>,
}

impl Sampler {
    pub(super) fn new(shared: Arc<Shared>, server: ServerHandle, setup: Builder) -> Self {
        let Builder {
            sources,
            actions,
            interval,
            hysteresis,
        } = setup;
        if actions.idle_limit.is_some() || actions.close_idlest.is_some() {
            server.track_activity();
        }
        Sampler {
            readiness: server.readiness(),
            idle: Idle::new(&actions),
            ceiling: actions
                .descriptors
                .map(|kept| Ceiling::new(server.limit().clone(), kept)),
            shared,
            server,
            sources,
            actions,
            interval,
            hysteresis,
            level: Level::default(),
            hold: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let server = self.server.clone();
        let work = async {
            loop {
                let due = ticks.tick().await;
                self.sample(due);
                self.act().await;
            }
        };
        tokio::select! {
            () = work => {}
            // A drain notifies all connections itself.
            () = until_drain(&server) => {}
        }
    }

    fn sample(&mut self, due: Instant) {
        let now = Instant::now();
        let moment = Moment {
            server: &self.server,
            now,
            late: now.saturating_duration_since(due),
        };
        let mut worst = self.level.begin();
        for source in &mut self.sources {
            // A source is foreign code, and the others have to be sampled all the same.
            let sampled = catch_unwind(AssertUnwindSafe(|| {
                let reading = Reading {
                    name: source.name(),
                    value: source.sample(&moment),
                };
                (reading, [source.closing_helps(), source.pausing_helps()])
            }));
            if let Ok((reading, helps)) = sampled {
                self.level.add(reading, &mut worst, helps);
            }
        }
        self.level.end(worst, self.hysteresis);
        self.shared.publish(&self.level);
    }

    async fn act(&mut self) {
        if let Some(ceiling) = &mut self.ceiling {
            ceiling.apply(self.server.connection_count());
        }
        let is_above = |threshold: Option<f64>, value| threshold.is_some_and(|it| value >= it);
        let is_unready = is_above(self.actions.unready, self.level.all.held);
        if is_unready != self.hold.is_some() {
            self.hold = is_unready.then(|| self.readiness.hold(REASON));
        }
        let closing = self.level.closing;
        let limit = self.actions.idle_limit.as_ref();
        let limit = limit.and_then(|limit| limit.at(closing));
        // The part of the connections that hold what is used above the threshold. A hysteresis would
        // make it swing.
        let threshold = self.actions.close_idlest.unwrap_or(f64::INFINITY);
        let excess = if closing > threshold {
            1.0 - threshold / closing
        } else {
            0.0
        };
        let counts = &self.shared.counts;
        let millis = limit.map_or(u64::MAX, |limit| limit.as_millis() as u64);
        counts.idle_limit.store(millis, Relaxed);
        counts.is_unready.store(is_unready, Relaxed);
        self.idle.close(&self.server, limit, excess, counts).await;
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.shared.publish(&Level::default());
        let counts = &self.shared.counts;
        counts.idle_limit.store(u64::MAX, Relaxed);
        counts.is_unready.store(false, Relaxed);
    }
}

async fn until_drain(server: &ServerHandle) {
    let mut status = server.status();
    while !matches!(status, ServerStatus::Draining | ServerStatus::Stopped) {
        status = server.status_changed(status).await;
    }
}
