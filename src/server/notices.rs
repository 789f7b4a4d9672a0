//! Notifying the connections of a server that drains, at once or over a window.

use crate::{
    connection::{ConnectionHandle, Phase, flag},
    pool::{Control, Pool, Stage},
};
use std::{
    cmp::Reverse, collections::HashMap, convert::Infallible, future::pending, time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// The shortest time between two notices. More connections than that are notified in batches.
const TICK: Duration = Duration::from_millis(10);

/// The notices of one drain.
pub(super) struct Notices {
    started: Instant,
    /// The connections that have not been notified. The oldest is the last.
    waiting: Vec<ConnectionHandle>,
    /// When the next one is notified.
    next_at: Instant,
    /// When each connection was notified, unless all were at the start.
    sent_at: HashMap<u64, Instant>,
    pub(super) count: usize,
    last_at: Instant,
}

impl Notices {
    /// Notifies every connection, or lists them if that is to take some time. Connections that are
    /// accepted from now on are notified at once.
    pub(super) fn begin(pool: &Pool) -> Self {
        let started = Instant::now();
        let mut notices = Notices {
            started,
            waiting: Vec::new(),
            next_at: started,
            sent_at: HashMap::new(),
            count: 0,
            last_at: started,
        };
        let is_spread = notified_by(&pool.control.borrow()) > started;
        pool.registry.drain_new();
        pool.registry.for_each(|connection| {
            if is_done(&connection) {
                return;
            }
            if is_spread {
                notices.waiting.push(connection);
            } else {
                connection.drain();
                notices.count += 1;
            }
        });
        let age = |connection: &ConnectionHandle| (connection.accepted_at(), connection.id());
        notices
            .waiting
            .sort_unstable_by_key(|connection| Reverse(age(connection)));
        notices
    }

    /// Notifies the connections that are left, in even steps.
    pub(super) async fn send(&mut self, pool: &Pool) -> Infallible {
        let mut control = pool.control.subscribe();
        while !self.waiting.is_empty() {
            let by = notified_by(&control.borrow_and_update());
            self.send_due(by.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = sleep_until(self.next_at) => {}
                _ = control.changed() => {}
            }
        }
        pending().await
    }

    /// Notifies those whose turn it is, if the rest of the window takes `left`.
    fn send_due(&mut self, left: Duration) {
        let now = Instant::now();
        let (pause, batch) = pace(left, self.waiting.len());
        if now < self.next_at && !left.is_zero() {
            // The window may have become shorter.
            self.next_at = self.next_at.min(now + pause);
            return;
        }
        self.next_at = now + pause;
        for _ in 0..batch {
            // Those that have ended do not take a turn.
            let next = loop {
                match self.waiting.pop() {
                    Some(connection) if is_done(&connection) => {}
                    next => break next,
                }
            };
            let Some(connection) = next else { return };
            connection.drain();
            self.sent_at.insert(connection.id(), now);
            self.count += 1;
            self.last_at = now;
        }
    }

    /// Returns the time since the start of the drain.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns when the last connection was notified, counted from the start.
    pub(super) fn last_at(&self) -> Duration {
        self.last_at - self.started
    }

    /// Returns when a connection was notified, counted from the start.
    pub(super) fn sent_at(&self, connection: &ConnectionHandle) -> Option<Duration> {
        if !connection.entry.has(flag::DRAINING) {
            return None;
        }
        let sent_at = self.sent_at.get(&connection.id());
        // New connections were notified when they were accepted, and the others at the start.
        let sent_at = sent_at.copied().unwrap_or(connection.accepted_at());
        Some(sent_at.saturating_duration_since(self.started))
    }
}

/// Returns when every connection has to be notified.
fn notified_by(control: &Control) -> Instant {
    match &control.stage {
        Stage::Draining(drain) => drain.notified_by,
        _ => Instant::now(),
    }
}

/// Returns whether a connection needs no notice.
fn is_done(connection: &ConnectionHandle) -> bool {
    connection.entry.has(flag::DRAINING) || connection.phase() == Phase::Closed
}

/// Returns how many of the connections that wait are notified next, and the pause after that.
fn pace(left: Duration, waiting: usize) -> (Duration, usize) {
    let each = left / u32::try_from(waiting).unwrap_or(u32::MAX).max(1);
    if each >= TICK {
        return (each, 1);
    }
    let ticks = left.as_nanos().div_ceil(TICK.as_nanos()).max(1);
    let batch = (waiting as u128).div_ceil(ticks);
    (TICK.min(left), usize::try_from(batch).unwrap_or(waiting))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns when each of `waiting` connections is notified.
    fn times(mut left: Duration, mut waiting: usize) -> Vec<Duration> {
        let (mut times, mut now) = (Vec::new(), Duration::ZERO);
        while waiting > 0 {
            let (pause, batch) = pace(left, waiting);
            times.resize(times.len() + batch.min(waiting), now);
            waiting = waiting.saturating_sub(batch);
            left = left.saturating_sub(pause);
            now += pause;
        }
        times
    }

    #[test]
    fn few_connections_are_notified_one_by_one() {
        let seconds = times(Duration::from_secs(10), 4);
        assert_eq!(seconds, [0.0, 2.5, 5.0, 7.5].map(Duration::from_secs_f64));
        assert_eq!(times(Duration::from_secs(10), 1), [Duration::ZERO]);
        assert_eq!(times(Duration::ZERO, 3), [Duration::ZERO; 3]);
    }

    #[test]
    fn many_connections_are_notified_in_batches_within_the_window() {
        let window = Duration::from_secs(2);
        let times = times(window, 100_001);
        assert_eq!(times.len(), 100_001);
        assert!(times.last().is_some_and(|last| *last < window));
        for (number, time) in times.iter().enumerate() {
            let even = window.mul_f64(number as f64 / 100_001.0);
            assert!(time.abs_diff(even) <= 2 * TICK, "{number}: {time:?}");
        }
    }
}
