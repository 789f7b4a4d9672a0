//! Closing idle connections.

use super::{Actions, actions::LEAST_IDLE, pressure::Counts};
use reagent::{ConnectionHandle, Phase, ServerHandle};
use std::{
    cmp::Ordering,
    collections::{BinaryHeap, HashMap},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};
use tokio::time::Instant;

/// The number of connections that a sample may close, whatever the number of open ones; and the
/// part of the open ones, so that clients do not come back all at once.
const AT_LEAST: usize = 16;
const PART: usize = 16;

/// Closes idle connections, and remembers those that were asked to finish.
pub(super) struct Idle {
    silent: Duration,
    patience: Duration,
    asked: HashMap<u64, Asked>,
}

struct Asked {
    connection: ConnectionHandle,
    at: Instant,
    is_aborted: bool,
}

/// An idle connection. The greatest is the one that was active last.
struct Candidate {
    since: Instant,
    connection: ConnectionHandle,
}

impl Idle {
    pub(super) fn new(actions: &Actions) -> Self {
        Idle {
            silent: actions.silent,
            patience: actions.patience,
            asked: HashMap::new(),
        }
    }

    /// Asks the connections to finish that have been idle for `limit` or longer, and as many of the
    /// idlest as are `excess` of all.
    pub(super) async fn close(
        &mut self,
        server: &ServerHandle,
        limit: Option<Duration>,
        excess: f64,
        counts: &Counts,
    ) {
        if limit.is_none() && excess <= 0.0 {
            // They finish by themselves, or go on.
            self.asked = HashMap::new();
            return;
        }
        let now = Instant::now();
        self.review(now, counts);
        let open = server.connection_count();
        let most = AT_LEAST.max(open / PART);
        let excess = (open as f64 * excess).ceil() as usize;
        // Those that were asked a moment ago are about to close.
        let is_closing = |asked: &&Asked| !self.is_late(asked, now);
        let closing = self.asked.values().filter(is_closing).count();
        let excess = excess.saturating_sub(closing).min(most);
        let idlest = self.idlest(server, most, now).await;
        for (n, Candidate { since, connection }) in idlest.into_iter().enumerate() {
            let is_over = limit.is_some_and(|limit| now.saturating_duration_since(since) >= limit);
            if !is_over && n >= excess {
                break;
            }
            // Other tasks have run since it was found.
            if self.idle_since(&connection, now).is_none() || !is_settled(&connection) {
                continue;
            }
            connection.drain();
            counts.asked.fetch_add(1, Relaxed);
            let asked = Asked {
                connection: connection.clone(),
                at: now,
                is_aborted: false,
            };
            self.asked.insert(connection.id(), asked);
        }
    }

    fn is_late(&self, asked: &Asked, now: Instant) -> bool {
        now.saturating_duration_since(asked.at) >= self.patience
    }

    /// Forgets the connections that have closed, and aborts those that are still idle.
    fn review(&mut self, now: Instant, counts: &Counts) {
        let mut asked = std::mem::take(&mut self.asked);
        asked.retain(|_, asked| {
            let connection = &asked.connection;
            if connection.phase() == Phase::Closed {
                return false;
            }
            if !asked.is_aborted
                && self.is_late(asked, now)
                && self.idle_since(connection, now).is_some()
                && is_settled(connection)
            {
                connection.abort();
                counts.aborted.fetch_add(1, Relaxed);
                asked.is_aborted = true;
            }
            true
        });
        self.asked = asked;
    }

    /// Returns the `most` idlest connections that were not asked yet, the idlest first.
    async fn idlest(&self, server: &ServerHandle, most: usize, now: Instant) -> Vec<Candidate> {
        let mut idlest = BinaryHeap::with_capacity(most + 1);
        let visit = |connection: &ConnectionHandle| {
            let Some(since) = self.idle_since(connection, now) else {
                return;
            };
            let is_beaten = |worst: &Candidate| worst.since <= since;
            let is_full = idlest.len() >= most;
            if is_full && idlest.peek().is_none_or(is_beaten)
                || self.asked.contains_key(&connection.id())
                || !is_settled(connection)
            {
                return;
            }
            if is_full {
                idlest.pop();
            }
            let connection = connection.clone();
            idlest.push(Candidate { since, connection });
        };
        server.visit_connections(visit).await;
        idlest.into_sorted_vec()
    }

    /// Returns since when a connection has been idle, or `None` if it may be in use.
    fn idle_since(&self, connection: &ConnectionHandle, now: Instant) -> Option<Instant> {
        // The steps of an opening have their own limits.
        if !matches!(connection.phase(), Phase::Handling | Phase::Detached) {
            return None;
        }
        let least = match connection.is_busy() {
            Some(true) => return None,
            Some(false) => LEAST_IDLE,
            None => self.silent,
        };
        let since = connection.last_active_at()?;
        (now.saturating_duration_since(since) >= least).then_some(since)
    }
}

/// Returns whether a close loses nothing.
fn is_settled(connection: &ConnectionHandle) -> bool {
    !connection.has_bytes_in_flight()
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |it: &Self| (it.since, it.connection.id());
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}
