//! Keys of session tickets that servers derive from files that they share.

use super::{
    TlsBuilder,
    key_set::{KEPT_FOR, USED_FOR},
    provider::Aead,
    ticket_key::{KeyName, TicketKey},
};
use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;
use zeroize::Zeroizing;

impl TlsBuilder {
    /// Sets files with keys of session tickets, by which servers behind one load balancer resume
    /// each other's sessions. The first file encrypts new tickets, and the tickets of all of them
    /// are accepted. By default, keys are [random](Self::ticket_keys); without any file, they still
    /// are.
    ///
    /// Each file has 80 or 48 random bytes, as for `ssl_session_ticket_key` of nginx. (A key for
    /// HAProxy is the same in base64.) Users other than its owner and group must not be able to
    /// read or write it:
    ///
    /// ```sh
    /// (umask 077 && openssl rand -out ticket.key 80)
    /// ```
    ///
    /// The files are read again at every [reload](super::TlsReloader), together with the
    /// certificates. Whatever they contain, it works with both versions of TLS and with all
    /// [providers](Self::provider), which need to be the same on all servers. The clocks of the
    /// servers may differ, but by less than 6 hours. Tickets of other programs are not accepted.
    ///
    /// # Rotation
    ///
    /// **Replace the files regularly**, once a day or at least once a week. To lose no session, do
    /// it in three steps, each of which ends with a reload on all servers: add the new file at the
    /// end, so that its tickets are accepted; move it to the front; and, 12 hours later, remove the
    /// old one.
    ///
    /// The keys themselves are derived from a file for each period of 6 hours, so their tickets
    /// expire as those of [`TicketKeys`](super::TicketKeys#rotation) do, even if the file stays the
    /// same.
    ///
    /// # Security
    ///
    /// An attacker who obtains a file can do what the [keys](super::TicketKeys#security) of its
    /// tickets allow, for as long as the file was in use: read recorded connections with TLS 1.2,
    /// and pose as the server to clients that resume with TLS 1.3. Until a file is destroyed, there
    /// is no forward secrecy, so keep it where nothing is written to a disk, such as in `/run`, and
    /// out of backups. Only servers that may answer in each other's name may share a file.
    pub fn ticket_key_files<P: AsRef<Path>>(mut self, files: impl IntoIterator<Item = P>) -> Self {
        let files = files.into_iter();
        self.source.ticket_key_files = files.map(|path| path.as_ref().to_owned()).collect();
        self
    }
}

/// The contents of a file.
pub(super) type Secret = Zeroizing<Vec<u8>>;

/// Keys that all servers with the same files have at the same time.
///
/// Time is divided into periods, and each file has a different key in each period. It is used and
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
