//! The response of an acceptor to failed accepts.

use super::{
    accept_loop::AcceptLoop,
    exhaustion::{self, Exhausted},
    recovery::CONNECTION_ERRORS_AT_ONCE,
    state::State,
};
use crate::{
    connection::event,
    listener::ErrorClass,
    panic::discard,
    pool::{OpenedSlot, Reopened},
    service::{ConnectionService, Spawn},
};
use std::{io, sync::atomic::Ordering};
use tokio::time::Instant;

impl<S: ConnectionService, X: Spawn> AcceptLoop<S, X> {
    /// Drives these slots from now on, and no others.
    pub(super) fn take(&mut self, slots: &[usize]) {
        self.sources.retain(slots);
        self.recovery
            .later
            .retain(|later| slots.contains(&later.slot));
        for slot in slots {
            let is_open = self.sources.get(*slot).is_some();
            let mut later = self.recovery.later.iter();
            let is_coming = later.any(|later| later.slot == *slot && later.at.is_some());
            if !is_open && !is_coming {
                self.open(*slot);
            }
        }
    }

    /// Begins to drive a slot, and reopens it if it is lost.
    pub(super) fn open(&mut self, slot: usize) {
        match self.group.open(slot, self.core) {
            Ok(OpenedSlot::Source(source)) => {
                self.recovery.done(slot);
                self.sources.insert(source);
            }
            Ok(OpenedSlot::Lost) => self.reopen(slot),
            Ok(OpenedSlot::Dead) => self.recovery.done(slot),
            Err(error) => {
                let class = ErrorClass::classify(&error);
                self.observe_failure(&error, class);
                if class == ErrorClass::Exhaustion {
                    self.exhausted(&error);
                }
                self.recovery.later(slot);
            }
        }
    }

    fn reopen(&mut self, slot: usize) {
        let registry = &self.setup.pool.registry;
        let group = &self.group;
        let reason = group.lost();
        match group.reopen(slot) {
            Ok(Reopened::Now) => {
                let event = event::Listening { addr: group.addr() };
                registry.observe(|observer| observer.listener_reopened(&event));
                let accepted = registry.totals().accepted;
                self.recovery.reopened(slot, accepted);
                self.open(slot);
            }
            Ok(Reopened::Before) => self.open(slot),
            Ok(Reopened::Never) => {
                let error = io::Error::other(reason.unwrap_or_default());
                let event = event::ListenerReopenFailed {
                    addr: group.addr(),
                    error: &error,
                    retry_in: None,
                };
                registry.observe(|observer| observer.listener_reopen_failed(&event));
                self.pool().stop_if_no_listeners();
                self.recovery.done(slot);
            }
            Err(error) => {
                let delay = self.recovery.later(slot);
                let event = event::ListenerReopenFailed {
                    addr: self.group.addr(),
                    error: &error,
                    retry_in: Some(delay),
                };
                registry.observe(|observer| observer.listener_reopen_failed(&event));
            }
        }
    }

    pub(super) fn observe_failure(&self, error: &io::Error, class: ErrorClass) {
        let event = event::AcceptFailed {
            acceptor: &self.acceptor,
            error,
            class,
        };
        self.pool()
            .registry
            .observe(|observer| observer.accept_failed(&event));
    }

    pub(super) fn accept_failed(&mut self, slot: usize, error: &io::Error) {
        let class = ErrorClass::classify(error);
        self.observe_failure(error, class);
        match class {
            ErrorClass::Connection => {
                self.recovery.connection_errors += 1;
                if self.recovery.connection_errors > CONNECTION_ERRORS_AT_ONCE {
                    self.back_off(slot);
                }
            }
            ErrorClass::Exhaustion => {
                if ErrorClass::lacks_descriptors(error) && self.recovery.backoff.failures() > 0 {
                    if let Some(source) = self.sources.get(slot) {
                        let count = self.setup.exhaustion.turn_away(&mut *source.listener);
                        self.pool().turned_away.fetch_add(count, Ordering::Relaxed);
                    }
                }
                self.exhausted(error);
                self.back_off(slot);
            }
            ErrorClass::Fatal => {
                if let Some(source) = self.sources.remove(slot) {
                    let group = &self.group;
                    if group.is_closing() {
                        // A queue that refuses new clients may fail once it is empty.
                        return discard(source);
                    }
                    if group.lose(slot, source.generation, error) {
                        let addr = group.addr();
                        let event = event::ListenerLost { addr, error };
                        self.pool()
                            .registry
                            .observe(|observer| observer.listener_lost(&event));
                    }
                    discard(source);
                    let accepted = self.pool().registry.totals().accepted;
                    match self.recovery.is_unproven(slot, accepted) {
                        true => {
                            self.recovery.later(slot);
                        }
                        false => self.open(slot),
                    }
                }
            }
        }
    }

    fn exhausted(&mut self, error: &io::Error) {
        if self.recovery.exhausted.is_none() {
            let exhausted = Exhausted::begin(&self.setup.exhaustion, &self.acceptor, error);
            self.recovery.exhausted = Some(exhausted);
        }
    }

    /// Tries this slot again after a delay.
    fn back_off(&mut self, slot: usize) {
        let delay = self.recovery.backoff.next_delay();
        self.state = State::Exhausted {
            slot,
            until: Instant::now() + delay,
        };
    }

    /// Handles a slot that turned out to be empty. That does not prove that there are descriptors:
    /// finding a queue empty needs none.
    pub(super) fn nobody_there(&mut self, slot: usize) {
        self.misses = 0;
        let still = self.recovery.exhausted.as_ref();
        match still.and_then(|_| exhaustion::persists()) {
            Some(error) => self.accept_failed(slot, &error),
            None => self.recovery.recovered(),
        }
    }
}
