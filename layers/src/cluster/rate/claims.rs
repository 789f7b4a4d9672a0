//! The claims that the clients of a rate need.

use super::{
    bucket::{Tokens, Waiter},
    table::{ALL, State, Table},
};
use crate::cluster::{Claim, Mode, ledger::Ledger, shared::Shared};
use std::{collections::VecDeque, net::IpAddr, sync::Arc, time::Duration};
use tokio::time::Instant;

impl Ledger for Table {
    fn collect(&self, _: Instant, room: usize, claims: &mut Vec<(IpAddr, Claim)>) {
        let share = self.share();
        let mut state = self.lock();
        let ahead = state.ahead(&self.shared);
        while claims.len() < room {
            let Some(ip) = state.claims.pop_front() else {
                break;
            };
            let needed = state.with(ip, share, Tokens::claim).unwrap_or(0);
            let want = u32::try_from(needed).unwrap_or(u32::MAX);
            let want = want.saturating_add(ahead).min(state.burst);
            state.flying.insert(ip, want);
            let claim = Claim::Tokens {
                key: match ip {
                    ALL => self.name.clone(),
                    ip => format!("{}:{ip}", self.name),
                },
                want,
                interval: Duration::from_secs_f64(1.0 / state.per_second),
                burst: state.burst,
            };
            claims.push((ip, claim));
        }
    }

    fn settle(self: Arc<Self>, ip: IpAddr, sent: Instant, granted: Option<u32>) {
        let share = self.share();
        let mut state = self.lock();
        let want = state.flying.remove(&ip).unwrap_or(0);
        let Some(granted) = granted else {
            let waiters = state.with(ip, share, Tokens::give_up);
            drop(state);
            drop(waiters);
            return;
        };
        let until = sent + self.shared.settings.renewal();
        let settled = state.with(ip, share, |tokens| {
            tokens.settle(granted, granted >= want, share, until, Instant::now())
        });
        let (decided, is_queued) = settled.unwrap_or_default();
        if is_queued {
            state.claims.push_back(ip);
        }
        drop(state);
        for (waiter, is_admitted) in decided {
            // A token whose connection has gone is lost, like that of a refused one.
            let _ = waiter.send(is_admitted);
        }
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn renew_all(&self) {}

    fn give_up(&self) {
        let share = self.share();
        let mut state = self.lock();
        let mut waiters: Vec<Option<VecDeque<Waiter>>> = Vec::new();
        while let Some(ip) = state.claims.pop_front() {
            waiters.push(state.with(ip, share, Tokens::give_up));
        }
        drop(state);
        drop(waiters);
    }

    fn release(&self) {}

    fn is_settled(&self) -> bool {
        self.lock().flying.is_empty()
    }
}

impl State {
    /// Returns the number of tokens to take ahead: what comes until the next renewal, but no more
    /// than half of the instance's share in the burst.
    fn ahead(&self, shared: &Shared) -> u32 {
        if shared.is_leaving() || shared.settings.mode == Mode::Exact {
            return 0;
        }
        let instances = shared.divisor().unwrap_or(1) as f64;
        let soon = self.per_second * shared.settings.renewal().as_secs_f64();
        (soon.min(f64::from(self.burst) / 2.0) / instances) as u32
    }
}
