//! The bytes that a connection may use now, and its waits.

use super::{
    Rate,
    bucket::{FairBucket, Place},
    grant::{Grant, SPARE, turn},
    shared::{ClientBuckets, SCOPES, Scope, Shared},
};
use crate::io::Direction;
use std::{
    future::Future,
    mem,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// The longest sleep of a connection that waits: the rate may change meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The state of a limited connection, made when it first reads or writes under a limit.
pub(super) struct Throttle {
    limits: Arc<Shared>,
    ip: Option<IpAddr>,
    client: Option<Arc<ClientBuckets>>,
    lanes: [Lane; 2],
}

#[derive(Debug, Default)]
struct Lane {
    own: FairBucket,
    wait: Option<Wait>,
    /// Bytes taken and not used yet, under the limits as they were when `changes` was read.
    credit: Grant,
    changes: u32,
}

// ## in the connection's queue => in the client's => in that of all
#[derive(Debug)]
struct Wait {
    grant: Grant,
    /// The scope whose queue it is in, as an index of `SCOPES`.
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

    pub(super) fn is_waiting(&self, direction: Direction) -> bool {
        self.lanes[direction as usize].wait.is_some()
    }

    /// Gives up a wait.
    pub(super) fn leave(&mut self, direction: Direction) {
        if let Some(Wait { grant, .. }) = self.lanes[direction as usize].wait.take() {
            self.give_back(direction, grant.taken, grant.bytes);
        }
    }

    /// Returns whether every limit was lifted, so that nothing is left to do.
    pub(super) fn is_over(&self) -> bool {
        Direction::BOTH
            .iter()
            .all(|&direction| !self.limits.is_limited(direction) && !self.is_waiting(direction))
    }

    fn rate(&self, direction: Direction, scope: Scope) -> Option<Rate> {
        match (scope, self.ip) {
            (Scope::Client, None) => None,
            _ => self.limits.rate(direction, scope),
        }
    }

    fn rates(&self, direction: Direction) -> [Option<Rate>; 3] {
        SCOPES.map(|scope| self.rate(direction, scope))
    }

    fn bucket<T>(
        &mut self,
        direction: Direction,
        scope: Scope,
        act: impl FnOnce(&mut FairBucket) -> T,
    ) -> T {
        match (scope, self.ip) {
            (Scope::Connection, _) | (Scope::Client, None) => {
                act(&mut self.lanes[direction as usize].own)
            }
            (Scope::Client, Some(ip)) => {
                let client = self.client.get_or_insert_with(|| self.limits.client(ip));
                act(&mut client.bucket(direction))
            }
            (Scope::Total, _) => act(&mut self.limits.total(direction)),
        }
    }

    /// Takes what there is: up to `want`, and perhaps some more to keep. `None` if that is less
    /// than a turn.
    pub(super) fn take(&mut self, direction: Direction, want: u64) -> Option<Grant> {
        let credit = self.credit(direction);
        if credit.bytes >= want {
            return Some(credit);
        }
        match self.take_new(direction, want - credit.bytes) {
            Some(new) => Some(Grant {
                bytes: new.bytes + credit.bytes,
                ..new
            }),
            None if credit.bytes > 0 => Some(credit),
            None => None,
        }
    }

    /// Returns what was taken earlier and kept, unless the limits have changed since.
    fn credit(&mut self, direction: Direction) -> Grant {
        let changes = self.limits.changes();
        let lane = &mut self.lanes[direction as usize];
        let credit = mem::take(&mut lane.credit);
        if lane.changes == changes {
            return credit;
        }
        lane.changes = changes;
        self.give_back(direction, credit.taken, credit.bytes);
        Grant::default()
    }

    fn take_new(&mut self, direction: Direction, want: u64) -> Option<Grant> {
        let (now, rates) = (Instant::now(), self.rates(direction));
        let turn = turn(&rates, want);
        let (mut bytes, mut spare, mut taken) = (want, SPARE, 0);
        for (scope, rate) in SCOPES.into_iter().zip(rates) {
            let Some(rate) = rate else {
                continue;
            };
            let got = self.bucket(direction, scope, |bucket| {
                bucket.take(rate, now, turn, bytes, spare)
            });
            // What a wider limit does not grant goes back to the narrower ones.
            self.give_back(direction, taken, bytes + spare - got.0 - got.1);
            (bytes, spare) = got;
            if bytes == 0 {
                return None;
            }
            taken |= scope.bit();
        }
        if taken == 0 {
            return Some(Grant::unlimited(want));
        }
        Some(Grant {
            bytes: bytes + spare,
            spare,
            taken,
        })
    }

    /// Keeps the unused part of a grant as far as it may be kept, and gives back the rest.
    pub(super) fn settle(&mut self, direction: Direction, grant: Grant, used: u64) {
        let left = grant.bytes.saturating_sub(used);
        let kept = left.min(grant.spare);
        self.lanes[direction as usize].credit = Grant {
            bytes: kept,
            ..grant
        };
        self.give_back(direction, grant.taken, left - kept);
    }

    /// Gives back unused bytes to the scopes that they were taken from.
    fn give_back(&mut self, direction: Direction, taken: u8, bytes: u64) {
        if bytes == 0 {
            return;
        }
        for scope in SCOPES {
            if taken & scope.bit() != 0 {
                self.bucket(direction, scope, |bucket| bucket.give_back(bytes));
            }
        }
    }

    /// Waits for a turn. A wait that has begun goes on, even if `want` is another now.
    pub(super) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        direction: Direction,
        want: u64,
    ) -> Poll<Grant> {
        let mut wait = self.lanes[direction as usize]
            .wait
            .take()
            .unwrap_or_else(|| Wait {
                grant: Grant::unlimited(turn(&self.rates(direction), want)),
                at: 0,
                place: None,
                sleep: None,
            });
        let polled = self.advance(cx, direction, &mut wait);
        let grant = wait.grant;
        if polled.is_pending() {
            self.lanes[direction as usize].wait = Some(wait);
        }
        polled.map(|()| grant)
    }

    fn advance(&mut self, cx: &mut Context<'_>, direction: Direction, wait: &mut Wait) -> Poll<()> {
        while let Some(&scope) = SCOPES.get(wait.at) {
            if let Some(sleep) = &mut wait.sleep {
                ready!(sleep.as_mut().poll(cx));
            }
            let now = Instant::now();
            let turn = match self.rate(direction, scope) {
                Some(rate) => self.bucket(direction, scope, |bucket| {
                    let place = *wait
                        .place
                        .get_or_insert_with(|| bucket.reserve(rate, now, wait.grant.bytes));
                    wait.grant.taken |= scope.bit();
                    bucket.turn(place, rate, now)
                }),
                // This limit was lifted.
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
        for direction in Direction::BOTH {
            let lane = &mut self.lanes[direction as usize];
            let waiting = lane.wait.take().map(|wait| wait.grant);
            for grant in [Some(mem::take(&mut lane.credit)), waiting]
                .into_iter()
                .flatten()
            {
                self.give_back(direction, grant.taken, grant.bytes);
            }
        }
    }
}
