//! A bucket of bytes, and the order of those who wait for some.
//!
//! A connection that finds too few bytes reserves its turn, which leaves the bucket in debt, and gets a place: the
//! number of bytes issued up to and including its own. Its turn has come when that many have flowed in. So turns
//! come in the order of places, no connection has to be woken by another, and one that never returns delays no other.

use super::Rate;
use crate::client::bucket::Bucket;
use std::time::Duration;
use tokio::time::Instant;

/// This part of what is left may be taken to be kept, so that the connections that keep some do not amount to a burst
/// of their own before there are as many of them.
const PART: f64 = 1024.0;

#[derive(Debug, Default)]
pub(super) struct FairBucket {
    bucket: Option<Bucket>,
    /// How many bytes were ever taken or reserved.
    issued: u64,
}

/// The place of a connection that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(u64);

impl FairBucket {
    fn bucket(&mut self, rate: Rate, now: Instant) -> &mut Bucket {
        self.bucket
            .get_or_insert_with(|| Bucket::full(rate.bucket(), now))
    }

    /// Takes as many bytes as there are, up to `most`; none if there are not even `least`. Where all of
    /// `most` are there, up to `spare` more are taken beside them, and no more than a small part of the rest.
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
        // The fraction of a number above 2^53 is lost, which could make it one more.
        let taken = (taken as u64).min(most);
        let spare = match taken == most {
            true => bucket.take_part(PART, spare as f64) as u64,
            false => 0,
        };
        self.issued = self.issued.wrapping_add(taken + spare);
        (taken, spare)
    }

    /// Reserves bytes that are still to come.
    pub(super) fn reserve(&mut self, rate: Rate, now: Instant, bytes: u64) -> Place {
        self.bucket(rate, now).reserve(bytes as f64);
        self.issued = self.issued.wrapping_add(bytes);
        Place(self.issued)
    }

    /// Whether the turn of this place has come, or else in how long; `None` is never.
    pub(super) fn turn(
        &mut self,
        place: Place,
        rate: Rate,
        now: Instant,
    ) -> Result<(), Option<Duration>> {
        // What was reserved after it is not before it.
        let behind = self.issued.wrapping_sub(place.0) as f64;
        self.bucket(rate, now).has(rate.bucket(), now, -behind)
    }

    /// Gives back what was taken or reserved and not used; connections that wait have their turns the earlier.
    pub(super) fn give_back(&mut self, bytes: u64) {
        if let Some(bucket) = &mut self.bucket {
            bucket.give_back(bytes as f64);
        }
    }

    /// Whether it is as if nothing had ever been taken.
    pub(super) fn is_full(&self, rate: Rate, now: Instant) -> bool {
        self.bucket
            .is_none_or(|bucket| bucket.is_full(rate.bucket(), now))
    }
}
