//! The faults of one connection, and the progress towards them.

use super::{
    Fault,
    delay::Delayed,
    kinds::{Kind, Latency},
};
use crate::{
    io::Direction,
    time::{DeadlineTimer, FAR},
};
use fastrand::Rng;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{io::AsyncRead, time::Instant};

/// With limited bandwidth, the bytes of one `PART`th of a second go at a time.
const PART: u64 = 10;

/// The bytes that vanish in a black hole before a write waits: about what a socket buffers
/// (`tcp_wmem`, `tcp(7)`).
const VANISHING: u64 = 64 * 1024;

/// The faults of one connection. Of several of one kind, the last applies.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) lanes: [Lane; 2],
    passed: [u64; 2],
    reset: Option<Point>,
    hole: Option<Point>,
    vanished: u64,
}

/// One direction.
#[derive(Default)]
pub(super) struct Lane {
    latency: Option<(Latency, Rng)>,
    slices: Option<Slices>,
    per_second: Option<u64>,
    /// The time at which the next bytes may go, with limited bandwidth.
    free_at: Option<Instant>,
    /// The time at which the waiting write is accepted.
    taken_at: Option<Instant>,
    pub(super) delayed: Delayed,
    timer: Option<Pin<Box<DeadlineTimer>>>,
}

struct Slices {
    least: usize,
    most: usize,
    /// What is left of the current piece.
    left: usize,
    rng: Rng,
}

/// A number of bytes, and the directions in which they are counted.
struct Point {
    after: u64,
    ways: [bool; 2],
}

impl Point {
    fn left(&self, passed: [u64; 2]) -> u64 {
        let counted = |direction: usize| {
            if self.ways[direction] {
                passed[direction]
            } else {
                0
            }
        };
        self.after
            .saturating_sub(counted(0).saturating_add(counted(1)))
    }
}

/// The bytes that may go now.
pub(super) enum Most {
    Bytes(usize),
    Nothing,
    Reset,
}

/// Returns a generator that is always the same for the same numbers. Each number is mixed in by the
/// generator itself, twice, since its first draws from neighbouring seeds, such as the numbers of
/// connections, are not independent.
pub(super) fn rng(numbers: impl IntoIterator<Item = u64>) -> Rng {
    let mixed = numbers.into_iter().fold(0, |mixed, number| {
        let first = Rng::with_seed(mixed ^ number).u64(..);
        Rng::with_seed(first).u64(..)
    });
    Rng::with_seed(mixed)
}

impl Plan {
    /// Creates a plan. Each fault has a generator for each direction, so that draws are
    /// independent.
    pub(super) fn new(faults: impl Iterator<Item = (Fault, [Rng; 2])>) -> Self {
        let mut plan = Plan::default();
        for (fault, rngs) in faults {
            plan.add(fault, rngs);
        }
        plan
    }

    fn add(&mut self, fault: Fault, rngs: [Rng; 2]) {
        let Fault { kind, ways } = fault;
        let lanes = self.lanes.iter_mut().zip(rngs).zip(ways);
        for ((lane, rng), _) in lanes.filter(|(_, hit)| *hit) {
            match kind {
                Kind::Latency(latency) => lane.latency = Some((latency, rng)),
                Kind::Bandwidth { per_second } => lane.per_second = Some(per_second),
                Kind::Slices { least, most } => {
                    let left = 0;
                    lane.slices = Some(Slices {
                        least,
                        most,
                        left,
                        rng,
                    });
                }
                Kind::Reset { after } => self.reset = Some(Point { after, ways }),
                Kind::BlackHole { after } => self.hole = Some(Point { after, ways }),
            }
        }
    }

    pub(super) fn most(&mut self, direction: Direction) -> Most {
        let mut most = u64::MAX;
        if let Some(reset) = &self.reset {
            match reset.left(self.passed) {
                0 => return Most::Reset,
                left if reset.ways[direction as usize] => most = left,
                _ => {}
            }
        }
        if let Some(hole) = self
            .hole
            .as_ref()
            .filter(|hole| hole.ways[direction as usize])
        {
            match hole.left(self.passed) {
                0 => return Most::Nothing,
                left => most = most.min(left),
            }
        }
        let lane = &mut self.lanes[direction as usize];
        if let Some(slices) = &mut lane.slices {
            if slices.left == 0 {
                slices.left = slices.rng.usize(slices.least..=slices.most);
            }
            most = most.min(slices.left as u64);
        }
        if let Some(per_second) = lane.per_second {
            most = most.min((per_second / PART).max(1));
        }
        Most::Bytes(usize::try_from(most).unwrap_or(usize::MAX))
    }

    /// Counts bytes. Returns whether a reset is due after them.
    pub(super) fn passed(&mut self, direction: Direction, bytes: usize) -> bool {
        let passed = &mut self.passed[direction as usize];
        *passed = passed.saturating_add(bytes as u64);
        let lane = &mut self.lanes[direction as usize];
        if let Some(slices) = &mut lane.slices {
            slices.left -= bytes;
        }
        if let Some(per_second) = lane.per_second {
            let now = Instant::now();
            let free_at = lane.free_at.map_or(now, |at| at.max(now));
            let takes = Duration::from_secs_f64(bytes as f64 / per_second as f64);
            lane.free_at = Some(free_at + takes);
        }
        self.reset
            .as_ref()
            .is_some_and(|reset| reset.left(self.passed) == 0)
    }

    /// Returns the number of bytes of a write that a black hole takes.
    pub(super) fn vanish(&mut self, bytes: usize) -> Poll<usize> {
        match (VANISHING - self.vanished).min(bytes as u64) {
            0 if bytes > 0 => Poll::Pending,
            taken => {
                self.vanished += taken;
                Poll::Ready(taken as usize)
            }
        }
    }
}

impl Lane {
    pub(super) fn is_late(&self) -> bool {
        self.latency.is_some()
    }

    /// Returns the time at which bytes read now arrive.
    fn arrival(latency: &mut Option<(Latency, Rng)>) -> Instant {
        let delay = latency.as_mut().map_or(Duration::ZERO, |(latency, rng)| {
            let jitter = latency.jitter.mul_f64(rng.f64());
            latency.delay.saturating_add(jitter)
        });
        let now = Instant::now();
        now.checked_add(delay).unwrap_or(now + FAR)
    }

    /// Reads what is there, which is under way from then on.
    pub(super) fn take_in(&mut self, io: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) {
        let Lane {
            latency, delayed, ..
        } = self;
        delayed.take_in(io, cx, || Self::arrival(latency));
    }

    /// Waits until a write is accepted: for its latency, once for each write, and for the
    /// bandwidth.
    pub(super) fn poll_taken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_late() {
            let latency = &mut self.latency;
            let at = *self.taken_at.get_or_insert_with(|| Self::arrival(latency));
            ready!(self.poll_until(cx, at));
        }
        self.poll_free(cx)
    }

    pub(super) fn written(&mut self) {
        self.taken_at = None;
    }

    /// Waits until the bandwidth allows more.
    pub(super) fn poll_free(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.free_at {
            Some(at) => self.poll_until(cx, at),
            None => Poll::Ready(()),
        }
    }

    pub(super) fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(DeadlineTimer::new()));
        timer.as_mut().poll(cx, at)
    }
}
