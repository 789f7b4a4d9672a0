//! The clients in a tarpit, and the task that keeps them.

use super::TarpitStats;
use crate::time::{DeadlineTimer, FAR};
use futures_util::stream::{FuturesUnordered, StreamExt};
use reagent::{Acceptor, ConnectionHandle, HeldConnection};
use std::{
    collections::BTreeMap,
    future::poll_fn,
    mem,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

pub(super) struct Shared {
    state: Mutex<State>,
    /// Notified when a client arrives.
    arrival: Notify,
}

struct State {
    max: usize,
    hold_time: Duration,
    /// Those that are held, in the order in which their time ends.
    held: BTreeMap<Key, ConnectionHandle>,
    /// Those that the task has not taken over yet.
    arrived: Vec<(HeldConnection, Place)>,
    /// Whether the task runs.
    is_kept: bool,
    stats: TarpitStats,
}

/// The end of a client's time, and its number.
type Key = (Instant, u64);

/// The place of a held client. Dropping it frees the place.
pub(super) struct Place {
    key: Key,
    shared: Arc<Shared>,
}

impl Shared {
    pub(super) fn new(max: usize, hold_time: Duration) -> Self {
        Shared {
            state: Mutex::new(State {
                max,
                hold_time,
                held: BTreeMap::new(),
                arrived: Vec::new(),
                is_kept: false,
                stats: TarpitStats::default(),
            }),
            arrival: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_hold_time(&self, limit: Duration) {
        self.state().hold_time = limit.min(FAR);
    }

    pub(super) fn set_max(&self, max: usize) {
        self.state().max = max;
    }

    pub(super) fn max(&self) -> usize {
        self.state().max
    }

    pub(super) fn stats(&self) -> TarpitStats {
        let state = self.state();
        TarpitStats {
            held: state.held.len(),
            ..state.stats
        }
    }

    /// Returns a place for a client, unless the tarpit is full or another client needs the place
    /// that this one has in the limits of its server.
    pub(super) fn enter(self: &Arc<Self>, client: &ConnectionHandle) -> Option<Place> {
        let mut state = self.state();
        if state.held.len() >= state.max {
            state.stats.overflowed += 1;
            return None;
        }
        if client.is_place_wanted() {
            state.stats.gave_way += 1;
            return None;
        }
        let key = (Instant::now() + state.hold_time, state.stats.total);
        state.stats.total += 1;
        state.held.insert(key, client.clone());
        drop(state);
        Some(Place {
            key,
            shared: self.clone(),
        })
    }

    /// Releases the client whose time ends first, if possible one of the same listener, since the
    /// limit may be that of the listener.
    pub(super) fn give_way(&self, acceptor: &Acceptor) {
        let released = {
            let mut state = self.state();
            let is_beside = |(_, client): &(&Key, &ConnectionHandle)| {
                *client.listener_addr() == acceptor.local_addr
            };
            let beside = state.held.iter().find(is_beside).map(|(key, _)| *key);
            let first = || state.held.first_key_value().map(|(key, _)| *key);
            let Some(key) = beside.or_else(first) else {
                return;
            };
            state.stats.gave_way += 1;
            state.held.remove(&key)
        };
        release(released);
    }

    /// Returns the clients that have arrived and the time at which the first one is to be released,
    /// and releases those whose time is over. Returns `None` if the task has nothing left to do.
    fn next(&self, is_empty: bool) -> Option<(Vec<(HeldConnection, Place)>, Instant)> {
        let mut over = Vec::new();
        let next = {
            let mut state = self.state();
            let now = Instant::now();
            while let Some(entry) = state
                .held
                .first_entry()
                .filter(|entry| entry.key().0 <= now)
            {
                over.push(entry.remove());
            }
            let arrived = mem::take(&mut state.arrived);
            let first = state.held.first_key_value();
            // Those without a key have been released and are about to end.
            let until = first.map_or(now + state.hold_time, |((until, _), _)| *until);
            // A client that arrives from now on starts another task.
            state.is_kept = !is_empty || !arrived.is_empty();
            state.is_kept.then_some((arrived, until))
        };
        over.into_iter().map(Some).for_each(release);
        next
    }
}

/// Ends the hold of a client. Its outcome is that of the refusal.
fn release(client: Option<ConnectionHandle>) {
    client.iter().for_each(ConnectionHandle::drain);
}

impl Place {
    /// Passes the client on to the task. If it does not run, it is returned and must be started.
    pub(super) fn occupy(self, client: HeldConnection) -> Option<Keeper> {
        let shared = self.shared.clone();
        let mut state = shared.state();
        state.arrived.push((client, self));
        let was_kept = mem::replace(&mut state.is_kept, true);
        drop(state);
        shared.arrival.notify_one();
        (!was_kept).then(|| Keeper {
            shared,
            has_ended: false,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let removed = self.shared.state().held.remove(&self.key);
        drop(removed);
    }
}

/// The right to run the task, which only one may have at a time. If it is dropped before the task
/// has ended, with the runtime or by a panic, it closes the clients that have arrived.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    has_ended: bool,
}

impl Keeper {
    /// Keeps clients until none is left.
    pub(super) async fn run(mut self) {
        let mut timer = pin!(DeadlineTimer::new());
        let mut held = FuturesUnordered::new();
        while let Some((arrived, until)) = self.shared.next(held.is_empty()) {
            held.extend(arrived.into_iter().map(|(mut client, place)| async move {
                client.ended().await;
                drop(client);
                drop(place);
            }));
            tokio::select! {
                Some(()) = held.next() => {}
                () = self.shared.arrival.notified() => {}
                () = poll_fn(|cx| timer.as_mut().poll(cx, until)) => {}
            }
        }
        self.has_ended = true;
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let arrived = {
            let mut state = self.shared.state();
            state.is_kept = false;
            mem::take(&mut state.arrived)
        };
        drop(arrived);
    }
}
