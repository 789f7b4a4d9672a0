//! The room for more clients, according to the limits.

use crate::{
    config::{LimitBy, Scope},
    listening::Phase,
    net::Place,
    world::World,
};
use reagent::ServerStatus;

impl World {
    /// Returns the maximum of the limit of the server.
    pub fn max(&self) -> usize {
        match self.config.limit {
            LimitBy::Shared(_) => self.limit.max(),
            _ => {
                let max = self.main.handle.stats().max_connections;
                max.unwrap_or(usize::MAX)
            }
        }
    }

    /// Returns the number of places in the limit that only some listeners may use. A closed one
    /// keeps its own until its connections have ended.
    pub fn reserved(&self) -> usize {
        let places = self.places.iter().map(|place| &place.listening);
        let is_stopped = self.main.handle.status() == ServerStatus::Stopped;
        let events = self.main.record.events();
        let is_over = |addr| events.open_at(addr) == 0;
        places
            .filter(|place| !(is_stopped || place.phase == Phase::Closed) || !is_over(&place.addr))
            .map(|place| place.reserve)
            .sum()
    }

    /// Returns how many reserved places have no connection.
    fn kept(&self) -> usize {
        let used: usize = self
            .places
            .iter()
            .map(|place| {
                let open = self.main.record.events().open_at(&place.listening.addr);
                open.min(place.listening.reserve)
            })
            .sum();
        self.reserved().saturating_sub(used)
    }

    /// Allows for an operation that may raise the limit. More connections than the limit are a
    /// violation only after the server has settled.
    pub fn allow_more(&mut self) {
        self.most = self.most.max(self.max());
        self.gauge.set_ceiling(self.gauge.ceiling().max(self.most));
    }

    /// Notes that nothing more is going to happen, and that the invariants hold.
    pub fn settled(&mut self) {
        let is_pausing = self.is_pausing();
        let mut events = self.main.record.events();
        for Place { listening, .. } in &mut self.places {
            events
                .ceilings
                .insert(listening.addr.to_string(), listening.max);
            let is_paused = is_pausing || listening.is_paused;
            listening.paused_at = is_paused.then(|| events.started_at(&listening.addr));
            if let Phase::Closing { .. } = listening.phase {
                listening.phase = Phase::Closed;
            }
        }
        drop(events);
        let reserved = self.reserved();
        // Of a limit that was lowered, the reserved places remain.
        let before = self.gauge.open().saturating_add(reserved);
        self.most = self.most.min(before).max(self.max());
        self.gauge.set_ceiling(match reserved {
            0 => self.max(),
            _ => self.most,
        });
    }

    /// Returns the number of clients for which the limits certainly have places.
    pub fn room(&self, place: usize) -> usize {
        let listening = &self.places[place].listening;
        let open = self.side(place).0.record.events().open_at(&listening.addr);
        let taken = match self.config.limit {
            LimitBy::Shared(_) => self.limit.taken(),
            _ => self.gauge.open(),
        };
        let free = self.max().saturating_sub(taken);
        // Places that were in use when they were reserved may not be there yet.
        let reserved = match self.kept() <= free {
            true => listening.reserve.saturating_sub(open),
            false => 0,
        };
        let unreserved = free.saturating_sub(self.kept());
        let own = listening.max.saturating_sub(open);
        own.min(reserved.saturating_add(unreserved))
    }

    /// Returns the number of clients for which the stack certainly has places, if the acceptors of
    /// the place serve them together.
    pub fn stack_room(&self, place: usize, acceptors: usize) -> usize {
        let (side, is_second) = self.side(place);
        match self.config.stack_limit() {
            _ if is_second => usize::MAX,
            None => usize::MAX,
            Some((Scope::Server, size)) => size.saturating_sub(side.alive.total()),
            // With fewer than the maximum for all acceptors, one of them has capacity.
            Some((Scope::Acceptor, size)) => {
                let alive = side.alive.at(&self.places[place].listening.addr);
                (size * acceptors).saturating_sub(alive)
            }
        }
    }

    /// Returns the number of clients in the queue that must be served if the listener is closed
    /// now, because nothing fails meanwhile.
    pub fn must_be_swept(&self, place: usize) -> usize {
        let stats = self.main.handle.stats();
        let is_calm = self.is_serving()
            && self.acceptors > 0
            && !self.trouble.is_armed()
            && !self.trouble.was_armed_to_pend()
            && stats
                .listeners
                .iter()
                .all(|listener| listener.lost.is_none())
            && self.places[place].errors() == 0;
        let waiting = self.places[place].waiting().filter(|_| is_calm);
        let room = self.room(place).min(self.stack_room(place, 1));
        waiting.unwrap_or(0).min(room)
    }

    /// Returns whether the server does what it is asked to.
    pub fn is_serving(&self) -> bool {
        let status = self.main.handle.status();
        !matches!(status, ServerStatus::Draining | ServerStatus::Stopped)
    }
}
