//! Keys of session tickets that servers derive from files that they share.

use super::{
    key_set::{KEPT_FOR, USED_FOR},
    provider::Aead,
    ticket_key::{KeyName, TicketKey},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// The contents of a file.
pub(super) type Secret = Zeroizing<Vec<u8>>;

/// Keys that all servers with the same files have at the same time.
///
/// Time is divided into periods, and each period has a key of its own for each file. It is used and
/// kept for as long as a key of [`KeySet`](super::key_set::KeySet), so tickets have the same
/// lifetime, and no key encrypts more of them because its file is never replaced.
pub(super) struct SharedKeys {
    /// The first one encrypts.
    secrets: Vec<Secret>,
    derived: Mutex<Derived>,
}

/// The keys of all files for the present period, the one before, and the next one, which a server
/// whose clock is ahead uses already. The first key is the one that encrypts.
#[derive(Default)]
struct Derived {
    period: Option<u32>,
    keys: Vec<Arc<TicketKey>>,
}

impl SharedKeys {
    pub(super) fn new(secrets: Vec<Secret>) -> Self {
        SharedKeys {
            secrets,
            derived: Mutex::default(),
        }
    }

    /// Returns the key for new tickets.
    pub(super) fn present(&self, aead: Aead, now: Instant) -> Option<Arc<TicketKey>> {
        self.present_at(aead, now, since_epoch())
    }

    /// Returns the key with this name, if there is one at this time.
    pub(super) fn find(&self, aead: Aead, name: &KeyName, now: Instant) -> Option<Arc<TicketKey>> {
        self.find_at(aead, name, now, since_epoch())
    }

    fn present_at(&self, aead: Aead, now: Instant, time: Duration) -> Option<Arc<TicketKey>> {
        self.derived(aead, now, time).keys.first().cloned()
    }

    fn find_at(
        &self,
        aead: Aead,
        name: &KeyName,
        now: Instant,
        time: Duration,
    ) -> Option<Arc<TicketKey>> {
        let derived = self.derived(aead, now, time);
        let mut keys = derived.keys.iter();
        keys.find(|key| key.name() == name && key.age(now) <= KEPT_FOR)
            .cloned()
    }

    /// Returns the keys, after deriving those of another period if it has begun. `time` is that of
    /// the wall clock, since the Unix epoch.
    fn derived(&self, aead: Aead, now: Instant, time: Duration) -> MutexGuard<'_, Derived> {
        let period = u32::try_from(time.as_secs() / USED_FOR.as_secs()).unwrap_or(u32::MAX);
        let lock = self.derived.lock();
        let mut derived = lock.unwrap_or_else(PoisonError::into_inner);
        if derived.period != Some(period) {
            let periods = [period, period.saturating_sub(1), period.saturating_add(1)];
            let derive = |secret: &Secret, period: u32| {
                let age = time.saturating_sub(USED_FOR * period);
                TicketKey::derive(aead, secret, period, now, age).map(Arc::new)
            };
            let secrets = self.secrets.iter();
            derived.keys = secrets
                .flat_map(|secret| periods.iter().filter_map(|period| derive(secret, *period)))
                .collect();
            derived.period = Some(period);
        }
        derived
    }
}

fn since_epoch() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::{super::ticket_key::Use, *};
    use tokio_rustls::rustls::crypto::ring;

    const HOUR: Duration = Duration::from_secs(3600);

    fn keys(bytes: &[u8]) -> SharedKeys {
        let secrets = bytes.iter().map(|byte| Secret::from(vec![*byte; 80]));
        SharedKeys::new(secrets.collect())
    }

    #[test]
    fn servers_with_the_same_file_have_the_same_keys_for_6_hours_and_keep_them_for_12() {
        let aead = Aead::of(&ring::default_provider()).unwrap();
        let now = Instant::now();
        let begin = USED_FOR * 80_000;
        let (one, other) = (keys(&[1]), keys(&[1]));
        let key = one.present_at(aead, now, begin + HOUR).unwrap();
        let ticket = key.encrypt(aead, Use::Files, now, b"session").unwrap();
        let at = |time| {
            let key = other.find_at(aead, key.name(), now, time)?;
            key.decrypt(aead, Use::Files, now, &ticket)
        };
        let (session, age) = at(begin + 3 * HOUR).unwrap();
        assert_eq!((&*session, age), (&b"session"[..], 2 * HOUR));
        assert_eq!(at(begin + 11 * HOUR).unwrap().1, 10 * HOUR);
        assert!(at(begin + 12 * HOUR).is_none());
        // A server whose clock is behind.
        assert_eq!(at(begin - HOUR).unwrap().1, Duration::ZERO);
        assert!(at(begin - 7 * HOUR).is_none());

        let name_at = |keys: &SharedKeys, time| *keys.present_at(aead, now, time).unwrap().name();
        assert_eq!(name_at(&other, begin), *key.name());
        assert_eq!(name_at(&other, begin + 6 * HOUR - HOUR / 60), *key.name());
        assert_ne!(name_at(&other, begin + 6 * HOUR), *key.name());
        assert_ne!(name_at(&keys(&[2]), begin), *key.name());
    }

    #[test]
    fn the_first_file_encrypts_and_all_of_them_decrypt() {
        let aead = Aead::of(&ring::default_provider()).unwrap();
        let (now, time) = (Instant::now(), USED_FOR * 80_000);
        let name = |bytes| *keys(bytes).present_at(aead, now, time).unwrap().name();
        let (old, new) = (name(&[1]), name(&[2]));
        assert_eq!(name(&[2, 1]), new);
        for (bytes, has_old) in [(&[2, 1][..], true), (&[2], false)] {
            let keys = keys(bytes);
            let finds = |name| keys.find_at(aead, name, now, time).is_some();
            assert_eq!((finds(&new), finds(&old)), (true, has_old));
        }
    }
}
