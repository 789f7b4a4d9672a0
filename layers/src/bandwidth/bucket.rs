//! A bucket of bytes, and the order in which waiting connections are served.
//!
//! A connection that finds too few bytes reserves its turn, which may leave the bucket in debt, and
//! gets a place: the number of bytes issued so far, including its own. Its turn has come when that
//! many bytes have flowed in. So turns come in the order of places, no connection has to be woken
//! by another, and a connection that never comes back delays no other.

use super::Rate;
use crate::client::bucket::Bucket;
use std::time::Duration;
use tokio::time::Instant;

/// A connection may keep one `PART`th of what is left for later. With fewer than `PART`
/// connections, what they keep cannot amount to a second burst.
const PART: f64 = 1024.0;

#[derive(Debug, Default)]
pub(super) struct FairBucket {
    bucket: Option<Bucket>,
    /// The number of bytes ever taken or reserved.
    issued: u64,
}

/// The place of a waiting connection in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(u64);

impl FairBucket {
    fn bucket(&mut self, rate: Rate, now: Instant) -> &mut Bucket {
        self.bucket
            .get_or_insert_with(|| Bucket::full(rate.bucket(), now))
    }

    /// Takes as many bytes as there are, up to `most`, but none if there are fewer than `least`. If
    /// there are `most`, also takes up to `spare` more, but no more than a small part of the rest.
    /// Returns both numbers.
    pub(super) fn take(
        &mut self,
        rate: Rate,
        now: Instant,
        least: u64,
        most: u64,
        spare: u64,
    ) -> (u64, u64) {
        let bucket = self.bucket(rate, now);
        let taken = bucket.take_some(rate.bucket(), now, least as f64, most as f64);
        // Above 2^53, rounding could make it one more than `most`.
        let taken = (taken as u64).min(most);
        let spare = match taken == most {
            true => bucket.take_part(PART, spare as f64) as u64,
            false => 0,
        };
        self.issued = self.issued.wrapping_add(taken + spare);
        (taken, spare)
    }

    /// Reserves bytes that are still to come, and returns the place in the queue.
    pub(super) fn reserve(&mut self, rate: Rate, now: Instant, bytes: u64) -> Place {
        self.bucket(rate, now).reserve(bytes as f64);
        self.issued = self.issued.wrapping_add(bytes);
        Place(self.issued)
    }

    /// Checks whether the turn of `place` has come, or returns the time until then; `None` means
    /// never.
    pub(super) fn turn(
        &mut self,
        place: Place,
        rate: Rate,
        now: Instant,
    ) -> Result<(), Option<Duration>> {
        // Reservations made after this one do not count.
        let behind = self.issued.wrapping_sub(place.0) as f64;
        self.bucket(rate, now).has(rate.bucket(), now, -behind)
    }

    /// Gives back bytes that were taken or reserved and not used, which brings forward the turns of
    /// those that wait.
    pub(super) fn give_back(&mut self, bytes: u64) {
        if let Some(bucket) = &mut self.bucket {
            bucket.give_back(bytes as f64);
        }
    }

    /// Returns whether the bucket is full again, as if it had never been used.
    pub(super) fn is_full(&self, rate: Rate, now: Instant) -> bool {
        self.bucket
            .is_none_or(|bucket| bucket.is_full(rate.bucket(), now))
    }
}
