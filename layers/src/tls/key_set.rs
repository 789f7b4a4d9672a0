//! The present key of session tickets and the previous one.

use super::{
    provider::Aead,
    ticket_key::{KeyName, TicketKey},
};
use crate::carried::{self, Damaged, Saved};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The time for which a key encrypts new tickets.
pub(super) const USED_FOR: Duration = Duration::from_secs(6 * 60 * 60);

/// The time for which the tickets of a key are accepted, the same as with the ticketer of rustls.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(12 * 60 * 60);

/// The present key and the previous one.
const MAX_KEYS: usize = 2;

/// The version of the format of saved keys.
const VERSION: u8 = 1;

/// Keys, the newest first.
#[derive(Default)]
pub(super) struct KeySet(Vec<Arc<TicketKey>>);

impl KeySet {
    /// Returns the key for new tickets, after a rotation if it is time for one. Returns `None` if
    /// the system has no random numbers.
    pub(super) fn present(&mut self, aead: Aead, now: Instant) -> Option<Arc<TicketKey>> {
        self.remove_expired(now);
        if self.0.first().is_none_or(|key| key.age(now) >= USED_FOR) {
            self.0.insert(0, Arc::new(TicketKey::generate(aead, now)?));
            self.0.truncate(MAX_KEYS);
        }
        self.0.first().cloned()
    }

    /// Returns the key with this name, if it has not expired.
    pub(super) fn find(&self, name: &KeyName, now: Instant) -> Option<Arc<TicketKey>> {
        let mut keys = self.0.iter();
        keys.find(|key| key.name() == name && key.age(now) <= KEPT_FOR)
            .cloned()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn remove_expired(&mut self, now: Instant) {
        self.0.retain(|key| key.age(now) <= KEPT_FOR);
    }

    pub(super) fn save(&mut self, now: Instant) -> Vec<u8> {
        self.remove_expired(now);
        let count = self.0.len();
        // Enough capacity, so that no copy of a key is left behind.
        let mut saved = carried::save(VERSION, count, count * TicketKey::SAVED_LEN);
        for key in &self.0 {
            key.save(now, &mut saved);
        }
        saved
    }

    /// Reads saved keys, without those that have expired. Returns `None` if their format is
    /// unknown.
    pub(super) fn restore(now: Instant, saved: &[u8]) -> Result<Option<Self>, Damaged> {
        let Some(mut saved) = Saved::read(VERSION, MAX_KEYS, saved)? else {
            return Ok(None);
        };
        let mut keys = KeySet::default();
        for _ in 0..saved.count {
            let key = TicketKey::restore(now, &mut saved)?;
            keys.0.push(Arc::new(key));
        }
        saved.end()?;
        keys.remove_expired(now);
        Ok(Some(keys))
    }
}
