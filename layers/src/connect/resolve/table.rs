//! The names that a cache remembers.

use super::{
    Resolved,
    cached::{ResolveError, Settings},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    sync::{self, Notify},
    time::Instant,
};

/// The result of a lookup.
pub(super) type Known = Result<Resolved, ResolveError>;

/// The entries of all names.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Mutex<HashMap<Arc<str>, Entry>>,
    /// Notified when an entry may have become the next to be refreshed, and at the end.
    pub(super) changed: Arc<Notify>,
}

impl Drop for Table {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

#[derive(Debug)]
struct Entry {
    answer: Option<Answer>,
    /// The last error, if it is newer than the answer, and the end of the time for which no lookup
    /// is made.
    failed: Option<(ResolveError, Instant)>,
    /// Held by the one who looks up.
    turn: Arc<sync::Mutex<()>>,
    /// The number of lookups that have ended.
    lookups: u64,
    last_used: Instant,
    /// Whether it was used since the last lookup.
    is_used: bool,
}

#[derive(Debug)]
struct Answer {
    resolved: Resolved,
    /// A tenth of the time to live before its end.
    refresh_at: Instant,
    fresh_until: Instant,
    stale_until: Instant,
}

/// The right to look a name up, once it is the caller's turn and nobody has done so meanwhile.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    pub(super) turn: Arc<sync::Mutex<()>>,
    lookups: u64,
}

impl Entry {
    fn new(now: Instant) -> Self {
        Entry {
            answer: None,
            failed: None,
            turn: Arc::default(),
            lookups: 0,
            last_used: now,
            is_used: false,
        }
    }

    fn lookup(&self) -> Lookup {
        Lookup {
            turn: self.turn.clone(),
            lookups: self.lookups,
        }
    }

    /// Returns what the last lookup found.
    fn latest(&self) -> Option<Known> {
        match (&self.failed, &self.answer) {
            (Some((error, _)), _) => Some(Err(error.clone())),
            (None, answer) => answer.as_ref().map(|answer| Ok(answer.resolved.clone())),
        }
    }

    /// Returns when the driver should look the name up, if it is in use.
    fn due(&self) -> Option<Instant> {
        let answer = self.answer.as_ref().filter(|_| self.is_used)?;
        let retry_at = self.failed.as_ref().map(|(_, until)| *until);
        Some(retry_at.map_or(answer.refresh_at, |at| at.max(answer.refresh_at)))
    }
}

impl Table {
    fn entries(&self) -> MutexGuard<'_, HashMap<Arc<str>, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what is known of a name, and the right to look it up if that is out of date.
    pub(super) fn find(
        &self,
        name: &str,
        settings: &Settings,
        now: Instant,
    ) -> (Option<Known>, Option<Lookup>) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(name) else {
            let entry = Entry::new(now);
            let lookup = entry.lookup();
            if entries.len() < settings.names || make_room(&mut entries) {
                entries.insert(name.into(), entry);
            }
            return (None, Some(lookup));
        };
        entry.last_used = now;
        if !entry.is_used {
            entry.is_used = true;
            self.changed.notify_one();
        }
        let answer = entry.answer.as_ref();
        let resolved = |answer: &Answer| Ok(answer.resolved.clone());
        if let Some(fresh) = answer.filter(|answer| now < answer.fresh_until) {
            return (Some(resolved(fresh)), None);
        }
        let stale = answer.filter(|answer| now < answer.stale_until);
        match &entry.failed {
            Some((error, until)) if now < *until => {
                let known = stale.map_or_else(|| Err(error.clone()), resolved);
                (Some(known), None)
            }
            _ => (stale.map(resolved), Some(entry.lookup())),
        }
    }

    /// Returns the result of a lookup that ended after `lookup` was made.
    pub(super) fn since(&self, name: &str, lookup: &Lookup) -> Option<Known> {
        let entries = self.entries();
        let entry = entries.get(name)?;
        let is_newer = entry.lookups != lookup.lookups && Arc::ptr_eq(&entry.turn, &lookup.turn);
        entry.latest().filter(|_| is_newer)
    }

    /// Stores the result of a lookup, unless the name was forgotten meanwhile.
    pub(super) fn store(&self, name: &str, known: &Known, settings: &Settings, now: Instant) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(name) else {
            return;
        };
        entry.lookups += 1;
        match known {
            Ok(resolved) => {
                let ttl = settings.ttl(resolved);
                let fresh_until = now + ttl;
                entry.failed = None;
                entry.is_used = false;
                entry.answer = Some(Answer {
                    resolved: resolved.clone(),
                    refresh_at: now + ttl * 9 / 10,
                    fresh_until,
                    stale_until: fresh_until + settings.stale,
                });
            }
            Err(error) => entry.failed = Some((error.clone(), now + settings.retry)),
        }
        drop(entries);
        self.changed.notify_one();
    }

    /// Returns the names in use that are due to be refreshed, and when the next one is.
    pub(super) fn due(&self, now: Instant) -> (Vec<(Arc<str>, Lookup)>, Option<Instant>) {
        let (mut names, mut next) = (Vec::new(), None);
        for (name, entry) in &*self.entries() {
            match entry.due() {
                Some(due) if due <= now => names.push((name.clone(), entry.lookup())),
                Some(due) => next = Some(next.map_or(due, |next: Instant| next.min(due))),
                None => {}
            }
        }
        (names, next)
    }
}

/// Forgets the name that was not used for the longest time and is not being looked up. Returns
/// whether there is one.
fn make_room(entries: &mut HashMap<Arc<str>, Entry>) -> bool {
    let idle = entries
        .iter()
        .filter(|(_, entry)| Arc::strong_count(&entry.turn) == 1);
    let oldest = idle.min_by_key(|(_, entry)| entry.last_used);
    let oldest = oldest.map(|(name, _)| name.clone());
    oldest.is_some_and(|name| entries.remove(&name).is_some())
}
