//! Admitting a client: what an acceptor acquires for it, in which order, and what it gives back.

use super::{
    accept_loop::AcceptLoop,
    service::{Supply, catching},
    state::State,
};
use crate::{
    BoxError,
    connection::event,
    limit::{Admission, Places},
    listener::{Accepted, ErrorClass},
    panic::discard,
    pool::News,
    service::{ConnectionService, Spawn},
};
use std::{
    io,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::Instant;

impl<S: ConnectionService, X: Spawn> AcceptLoop<S, X> {
    /// Accepts the client that may wait in this slot, if the limit and the service allow it.
    /// Otherwise waits for one of them without holding anything of the other. Returns whether a
    /// client was accepted, and another may follow.
    pub(super) fn admit(&mut self, slot: usize, admission: Option<Admission>) -> bool {
        self.state = State::Waiting;
        // What a service that was made has reserved can be given back only by making another.
        if self.is_made() && !self.is_client_there(slot) {
            self.is_stale = self.reserved_for == Some(slot);
            self.nobody_there(slot);
            return false;
        }
        let Some(admission) = admission.or_else(|| self.try_admit()) else {
            match self.reserved_for {
                Some(_) => self.release(),
                None => self.wait_at_limit(slot),
            }
            return false;
        };
        let Some(serving) = &mut self.serving else {
            return false;
        };
        match serving.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => return self.accept(slot, admission),
            Poll::Ready(Err(error)) => self.fail(error),
            Poll::Pending => {
                drop(admission);
                if self.is_client_there(slot) {
                    self.wait_at_stack(slot);
                } else {
                    self.release();
                    self.nobody_there(slot);
                }
            }
        }
        false
    }

    fn wait_at_stack(&mut self, slot: usize) {
        self.sources.pass();
        self.state = State::AtStack { slot };
        if self.misses_again() {
            self.release();
            self.step_back(slot);
        }
    }

    /// Acceptors that wait for the last permit and the last place of a stack could go on taking
    /// from each other what they need. Those that miss repeatedly release everything and pause for
    /// a moment, so that one of them gets both.
    fn misses_again(&mut self) -> bool {
        const AT_ONCE: u32 = 4;

        self.misses += 1;
        self.misses > AT_ONCE
    }

    fn step_back(&mut self, slot: usize) {
        // For different times.
        let millis = 1 + self.acceptor.index % 16;
        self.misses = 0;
        self.state = State::Exhausted {
            slot,
            until: Instant::now() + Duration::from_millis(millis as u64),
        };
    }

    fn wait_at_limit(&mut self, slot: usize) {
        if !self.is_client_there(slot) {
            return self.nobody_there(slot);
        }
        let pool = self.pool();
        pool.registry
            .observe(|observer| observer.limit_reached(&self.acceptor));
        self.state = State::AtLimit {
            slot,
            acquire: self.group.entry().places.acquire(),
            since: Instant::now(),
        };
    }

    /// Continues with the permit for which the client of this slot has waited.
    pub(super) fn granted(&mut self, slot: usize, admission: Admission, since: Instant) {
        if admission.is_excessive() {
            drop(admission);
            let acquire = self.group.entry().places.acquire();
            self.state = State::AtLimit {
                slot,
                acquire,
                since,
            };
            return;
        }
        let event = event::LimitWaited {
            acceptor: &self.acceptor,
            waited: since.elapsed(),
        };
        let registry = &self.pool().registry;
        registry.observe(|observer| observer.limit_waited(&event));
        self.admit(slot, Some(admission));
    }

    pub(super) fn stack_ready(&mut self, slot: usize, ready: Result<(), BoxError>) {
        self.state = State::Waiting;
        match (ready, self.try_admit()) {
            (Err(error), _) => self.fail(error),
            (Ok(()), Some(admission)) => {
                self.accept(slot, admission);
            }
            (Ok(()), None) => {
                self.release();
                if self.misses_again() {
                    self.step_back(slot);
                } else if !self.is_stale {
                    self.wait_at_limit(slot);
                }
            }
        }
    }

    /// Accepts the client, for which everything is ready, or gives everything back if it has gone.
    fn accept(&mut self, slot: usize, admission: Admission) -> bool {
        let has_changed = self.cell.has_changed(self.seen);
        let accepted = match self.sources.get(slot) {
            // A server that was paused meanwhile accepts no client.
            Some(source) if !has_changed => source.listener.try_accept(),
            _ => {
                self.release();
                return false;
            }
        };
        match accepted {
            Ok(accepted) => {
                self.failures.reset();
                self.recovery.served(slot);
                self.serve(accepted, slot, admission);
                return matches!(self.state, State::Waiting);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.places = admission.release();
                if self.is_made() && self.is_client_there(slot) {
                    // The kernel knows of a client that the runtime does not know of yet.
                    self.reserved_for = Some(slot);
                } else {
                    self.release();
                    // An acceptor whose clients are accepted by others is not failing.
                    self.failures.reset();
                    self.nobody_there(slot);
                }
            }
            Err(error) => {
                drop(admission);
                self.accept_failed(slot, &error);
                // Another service may be expensive, and the next client can use what this one did
                // not need.
                let goes_on = ErrorClass::classify(&error) == ErrorClass::Connection
                    && matches!(self.state, State::Waiting);
                if self.is_made() && goes_on && self.is_client_there(slot) {
                    self.reserved_for = Some(slot);
                } else {
                    self.release();
                }
            }
        }
        false
    }

    fn serve(&mut self, accepted: Accepted, slot: usize, admission: Admission) {
        (self.reserved_for, self.misses) = (None, 0);
        if let Some(hook) = self.setup.on_accept.clone() {
            let looked =
                catching(|| hook(&accepted)).unwrap_or_else(|error| Err(io::Error::other(error)));
            if let Err(error) = looked {
                drop(admission);
                return self.refused(accepted, slot, &error);
            }
        }
        let Accepted { transport, peer } = accepted;
        let (place, places) = admission.into_parts();
        self.places = places;
        let conn = self.registrar.register(transport, peer, place);
        if let Some(serving) = &mut self.serving {
            if let Err(error) = serving.call(conn) {
                // After a panic, the state of the service cannot be trusted.
                discard(error);
                self.renew();
            }
        }
    }

    /// Closes a client that the hook has refused. What the service reserved is kept for the next
    /// one.
    fn refused(&mut self, accepted: Accepted, slot: usize, error: &io::Error) {
        discard(accepted);
        self.observe_failure(error, ErrorClass::Connection);
        match self.is_made() && self.is_client_there(slot) {
            true => self.reserved_for = Some(slot),
            false => self.release(),
        }
    }

    /// Accepts the clients that are already in the queue, as far as the limits allow without
    /// waiting. A server that drains serves them, or else the kernel would reset them.
    pub(super) fn sweep(&mut self, slot: usize) {
        /// The default size of a queue.
        const AT_MOST: usize = 4096;

        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..AT_MOST {
            if !self.is_client_there(slot) {
                break;
            }
            let admission = self.try_admit();
            let (Some(serving), Some(admission)) = (&mut self.serving, admission) else {
                break;
            };
            let Poll::Ready(Ok(())) = serving.poll_ready(&mut cx) else {
                break;
            };
            let Some(source) = self.sources.get(slot) else {
                break;
            };
            match source.listener.try_accept() {
                Ok(accepted) => self.serve(accepted, slot, admission),
                Err(error) if ErrorClass::classify(&error) == ErrorClass::Connection => {}
                // The runtime may not know yet of a client that the kernel knows of.
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock
                        && source.listener.pending() == Some(true) =>
                {
                    return;
                }
                Err(_) => break,
            }
        }
        self.sources.remove(slot);
        self.report_if_swept();
    }

    pub(super) fn report_if_swept(&mut self) {
        if let (State::Sweeping, true) = (&self.state, self.sources.slots().is_empty()) {
            self.state = State::Swept;
            self.reporter.send(News::Swept);
        }
    }

    fn try_admit(&mut self) -> Option<Admission> {
        let places = self.places.take();
        let places = places.unwrap_or_else(|| self.group.entry().places.clone());
        match Places::try_take(places) {
            Ok(admission) => Some(admission),
            Err(places) => {
                self.places = Some(places);
                None
            }
        }
    }

    /// Returns whether a client waits in this slot, for certain if the listener can tell.
    fn is_client_there(&mut self, slot: usize) -> bool {
        let source = self.sources.get(slot);
        source.is_some_and(|source| source.listener.pending().unwrap_or(true))
    }

    /// Returns whether the service was made for this acceptor, and is not a clone.
    pub(super) fn is_made(&self) -> bool {
        matches!(self.setup.supply, Supply::Made(_))
    }

    /// Gives back what the service has reserved for a client that it does not get.
    pub(super) fn release(&mut self) {
        match (&self.setup.supply, &mut self.serving) {
            (Supply::Cloned { release, .. }, Some(serving)) => serving.change(*release),
            (Supply::Made(_), Some(_)) => self.is_stale = true,
            (_, None) => {}
        }
    }
}
