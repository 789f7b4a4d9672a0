//! What one connection may have now, and its waits.

use super::{
    Rate,
    limits::{ClientLines, SCOPES, Scope, Shared, WAYS, Way},
    line::{Line, Place},
};
use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// A changed rate is seen after this, by who waits already.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Made when a connection first reads or writes under a limit.
pub(super) struct Throttle {
    limits: Arc<Shared>,
    ip: Option<IpAddr>,
    client: Option<Arc<ClientLines>>,
    lanes: [Lane; 2],
}

#[derive(Debug, Default)]
struct Lane {
    own: Line,
    wait: Option<Wait>,
}

/// Bytes that may go, and the bits of the scopes that they were taken from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    pub(super) bytes: u64,
    taken: u8,
}

impl Grant {
    pub(super) fn unlimited(bytes: u64) -> Self {
        Grant { bytes, taken: 0 }
    }
}

// ## at the connection's line => at the client's => at that of all
#[derive(Debug)]
struct Wait {
    grant: Grant,
    /// Where it stands, as an index of `SCOPES`.
    at: usize,
    place: Option<Place>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Throttle {
    pub(super) fn new(limits: Arc<Shared>, ip: Option<IpAddr>) -> Self {
        Throttle {
            limits,
            ip,
            client: None,
            lanes: Default::default(),
        }
    }

    pub(super) fn is_waiting(&self, way: Way) -> bool {
        self.lanes[way as usize].wait.is_some()
    }

    /// Whether it has nothing to do any more, since every limit was lifted.
    pub(super) fn is_over(&self) -> bool {
        WAYS.iter()
            .all(|&way| !self.limits.is_limited(way) && !self.is_waiting(way))
    }

    fn rate(&self, way: Way, scope: Scope) -> Option<Rate> {
        match (scope, self.ip) {
            (Scope::Client, None) => None,
            _ => self.limits.rate(way, scope),
        }
    }

    fn turn(&self, way: Way, want: u64) -> u64 {
        SCOPES
            .iter()
            .filter_map(|&scope| self.rate(way, scope))
            .fold(want, |turn, rate| turn.min(rate.turn()))
    }

    fn line<T>(&mut self, way: Way, scope: Scope, act: impl FnOnce(&mut Line) -> T) -> T {
        match (scope, self.ip) {
            (Scope::Connection, _) | (Scope::Client, None) => {
                act(&mut self.lanes[way as usize].own)
            }
            (Scope::Client, Some(ip)) => {
                let client = self.client.get_or_insert_with(|| self.limits.client(ip));
                act(&mut client.line(way))
            }
            (Scope::Total, _) => act(&mut self.limits.total(way)),
        }
    }

    /// Takes what there is, of `want` at most, unless that is less than a turn.
    pub(super) fn take(&mut self, way: Way, want: u64) -> Option<Grant> {
        let (now, turn) = (Instant::now(), self.turn(way, want));
        let mut grant = Grant::unlimited(want);
        for scope in SCOPES {
            let Some(rate) = self.rate(way, scope) else {
                continue;
            };
            let taken = self.line(way, scope, |line| line.take(rate, now, turn, grant.bytes));
            self.give_back(way, grant, taken);
            grant.bytes = taken;
            if taken == 0 {
                return None;
            }
            grant.taken |= scope.bit();
        }
        Some(grant)
    }

    /// Gives back what was not used.
    pub(super) fn give_back(&mut self, way: Way, grant: Grant, used: u64) {
        if grant.bytes <= used {
            return;
        }
        for scope in SCOPES {
            if grant.taken & scope.bit() != 0 {
                self.line(way, scope, |line| line.give_back(grant.bytes - used));
            }
        }
    }

    /// Waits for a turn. What was begun goes on, whatever is wanted now.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>, way: Way, want: u64) -> Poll<Grant> {
        let mut wait = self.lanes[way as usize]
            .wait
            .take()
            .unwrap_or_else(|| Wait {
                grant: Grant::unlimited(self.turn(way, want)),
                at: 0,
                place: None,
                sleep: None,
            });
        let polled = self.advance(cx, way, &mut wait);
        let grant = wait.grant;
        if polled.is_pending() {
            self.lanes[way as usize].wait = Some(wait);
        }
        polled.map(|()| grant)
    }

    fn advance(&mut self, cx: &mut Context<'_>, way: Way, wait: &mut Wait) -> Poll<()> {
        while let Some(&scope) = SCOPES.get(wait.at) {
            if let Some(sleep) = &mut wait.sleep {
                ready!(sleep.as_mut().poll(cx));
            }
            let now = Instant::now();
            let turn = match self.rate(way, scope) {
                Some(rate) => self.line(way, scope, |line| {
                    let place = *wait
                        .place
                        .get_or_insert_with(|| line.wait(rate, now, wait.grant.bytes));
                    wait.grant.taken |= scope.bit();
                    line.turn(place, rate, now)
                }),
                // None any more.
                None => Ok(()),
            };
            let Err(after) = turn else {
                wait.at += 1;
                wait.place = None;
                continue;
            };
            let after = after.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN);
            match &mut wait.sleep {
                Some(sleep) => sleep.as_mut().reset(now + after),
                None => wait.sleep = Some(Box::pin(sleep(after))),
            }
        }
        Poll::Ready(())
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        for way in WAYS {
            if let Some(wait) = self.lanes[way as usize].wait.take() {
                self.give_back(way, wait.grant, 0);
            }
        }
    }
}
