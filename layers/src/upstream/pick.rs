//! How an upstream is chosen among those that can be.

use super::{key::Key, member::Member, settings::Balance};
use fastrand::Rng;
use std::cmp::Ordering;

/// The golden ratio as a fraction of 2^64. Its multiples, modulo 1, are spread as evenly as those
/// of any number (a Weyl sequence), so that drawing by them comes close to a weighted round robin.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// An upstream that can be chosen: its index, and its weight, which is greater than 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) index: usize,
    pub(super) weight: f64,
}

/// What a set remembers to choose.
#[derive(Debug)]
pub(super) struct Picker {
    turn: u64,
    random: Rng,
}

impl Picker {
    pub(super) fn new(mut random: Rng) -> Self {
        Picker {
            // Instances that start together do not choose the same upstreams in the same order.
            turn: random.u64(..),
            random,
        }
    }

    /// Chooses one of the candidates, of which there is at least one.
    pub(super) fn pick<T>(
        &mut self,
        balance: Balance,
        key: Key,
        candidates: &[Candidate],
        members: &[Member<T>],
    ) -> usize {
        match (balance, key.hash()) {
            (Balance::Hash, Some(key)) => by_hash(key, candidates, members),
            _ => self.by_load(candidates, members),
        }
    }

    fn by_load<T>(&mut self, candidates: &[Candidate], members: &[Member<T>]) -> usize {
        let total: f64 = candidates.iter().map(|candidate| candidate.weight).sum();
        self.turn = self.turn.wrapping_add(GOLDEN);
        let turn = self.turn as f64 / (u64::MAX as f64);
        let first = draw(candidates, turn * total, None);
        let rest = total - candidates[first].weight;
        if candidates.len() == 1 {
            return candidates[first].index;
        }
        let second = draw(candidates, self.random.f64() * rest, Some(first));
        let load = |at: usize| {
            let Candidate { index, weight } = candidates[at];
            members[index].used() as f64 / weight
        };
        // Equally loaded, they have their turns.
        let chosen = if load(second) < load(first) {
            second
        } else {
            first
        };
        candidates[chosen].index
    }
}

/// Returns the candidate in whose range `at` is, if those of all candidates except `without` stand
/// one after the other.
fn draw(candidates: &[Candidate], mut at: f64, without: Option<usize>) -> usize {
    let mut last = 0;
    for (index, candidate) in candidates.iter().enumerate() {
        if without == Some(index) {
            continue;
        }
        if at < candidate.weight {
            return index;
        }
        at -= candidate.weight;
        last = index;
    }
    // Reached by a rounding error only.
    last
}

/// Returns the candidate with the highest score for this key. A score depends on nothing but the
/// key and the candidate, so that a candidate that leaves moves its own keys only.
fn by_hash<T>(key: u64, candidates: &[Candidate], members: &[Member<T>]) -> usize {
    let score = |candidate: &Candidate| {
        let mixed = mix(key ^ members[candidate.index].hash);
        // In (0, 1).
        let uniform = ((mixed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -candidate.weight / uniform.ln()
    };
    let best = candidates.iter().max_by(|one, other| {
        let scores = score(one).partial_cmp(&score(other));
        scores.unwrap_or(Ordering::Equal)
    });
    best.map_or(0, |best| best.index)
}

/// Mixes the bits of a number (the finalizer of SplitMix64).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
