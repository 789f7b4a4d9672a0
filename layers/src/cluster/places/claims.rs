//! The claims that the clients of a limit need.

use super::{
    Place,
    client::{Answers, Purpose, Rules, Waiter, send},
    table::{State, Table},
};
use crate::cluster::{Claim, Mode, ledger::Ledger, shared::Shared};
use std::{collections::VecDeque, net::IpAddr, sync::Arc};
use tokio::time::Instant;

/// The number of clients that are examined at a time, so that the lock is never held for long.
const LOOKS: usize = 1024;

impl Ledger for Table {
    fn collect(&self, now: Instant, room: usize, claims: &mut Vec<(IpAddr, Claim)>) {
        let mut state = self.lock();
        let mut looks = LOOKS;
        let rules = Rules {
            max: state.max,
            instances: self.shared.divisor().unwrap_or(1),
            mode: self.mode(),
        };
        while claims.len() < room {
            let (ip, purpose) = if let Some(ip) = state.claims.pop_front() {
                (ip, Purpose::Admit)
            } else if let Some(ip) = state.corrections.pop_front() {
                (ip, Purpose::Renew)
            } else if let Some(ip) = state.next_renewal(now, &self.shared, &mut looks) {
                (ip, Purpose::Renew)
            } else {
                break;
            };
            state.flying += 1;
            let client = state.clients.get_mut(&ip);
            let client = client.expect("clients with claims are remembered");
            let (want, hold) = client.claim(purpose, rules);
            let claim = Claim::Places {
                key: format!("{}:{ip}", self.name),
                want,
                hold,
                max: rules.max,
                number: self.shared.next_number(),
            };
            claims.push((ip, claim));
        }
    }

    fn settle(self: Arc<Self>, ip: IpAddr, sent: Instant, granted: Option<u32>) {
        let mode = self.mode();
        let mut state = self.lock();
        state.flying -= 1;
        let max = state.max;
        let client = state.clients.get_mut(&ip);
        let client = client.expect("clients with claims are remembered");
        let Some(granted) = granted else {
            client.fail(Instant::now() + self.shared.settings.lease);
            let waiters = client.give_up();
            drop(state);
            drop(waiters);
            return;
        };
        let until = sent + self.shared.settings.lease;
        let place = || Place::new(self.clone(), ip);
        let answers: Answers = client.settle(granted, until, Instant::now(), max, place);
        if client.needs_claim(mode) {
            match client.has_waiters() {
                true => state.claims.push_back(ip),
                false => state.corrections.push_back(ip),
            }
        }
        drop(state);
        send(answers);
    }

    fn due(&self) -> Option<Instant> {
        let state = self.lock();
        let first = state.renewals.front()?;
        match state.urgent {
            0 => state.clients.get(first).map(|client| client.renew_at),
            _ => Some(Instant::now()),
        }
    }

    fn renew_all(&self) {
        let mut state = self.lock();
        state.urgent = state.renewals.len();
    }

    fn give_up(&self) {
        let mut state = self.lock();
        let mut waiters: Vec<VecDeque<Waiter>> = Vec::new();
        while let Some(ip) = state.claims.pop_front() {
            let client = state.clients.get_mut(&ip);
            let client = client.expect("clients with claims are remembered");
            client.is_queued = false;
            waiters.push(client.give_up());
        }
        drop(state);
        drop(waiters);
    }

    fn release(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        for (ip, client) in &mut state.clients {
            if client.needs_claim(Mode::Exact) {
                state.corrections.push_back(*ip);
            }
        }
    }

    fn is_settled(&self) -> bool {
        let state = self.lock();
        state.claims.is_empty() && state.corrections.is_empty() && state.flying == 0
    }
}

impl State {
    /// Returns a client whose places are to be renewed now, and forgets those without any.
    fn next_renewal(&mut self, now: Instant, shared: &Shared, looks: &mut usize) -> Option<IpAddr> {
        while *looks > 0 {
            let ip = *self.renewals.front()?;
            let client = self.clients.get_mut(&ip).expect("queued once");
            if self.urgent == 0 && client.renew_at > now {
                return None;
            }
            *looks -= 1;
            self.renewals.pop_front();
            self.urgent = self.urgent.saturating_sub(1);
            if client.is_over(now) {
                self.clients.remove(&ip);
                continue;
            }
            client.renew_at = now + shared.settings.renewal();
            self.renewals.push_back(ip);
            // A claim is a renewal, too.
            if !client.has_claim() {
                return Some(ip);
            }
        }
        None
    }
}
