//! A key that encrypts session tickets.

use super::provider::{Aead, NONCE_LEN, SECRET_LEN, TAG_LEN};
use crate::carried::{Damaged, Saved, put_duration};
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// The name of a key, with which each of its tickets begins. It is random and not a secret.
pub(super) type KeyName = [u8; 16];

/// Separates these keys from any others that are derived from the same file.
const DERIVED_FOR: &[u8] = b"reagent session tickets 1";

/// The age of a key at which a ticket was issued, in milliseconds.
type IssuedAt = u32;

/// What tickets are for. A ticket for one use is invalid for the other.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Use {
    /// The configurations that this crate makes. Their sessions have no client certificates.
    Files = 1,
    /// Configurations supplied by the user.
    Custom = 2,
}

/// A key and its age.
///
/// A ticket consists of the name of the key, a nonce, the encrypted time and session, and a tag. The
/// time is the age of the key when the ticket was issued.
///
/// A key is random, or derived from a file that servers share.
///
/// Nonces are random, since a counter would show observers how many tickets are issued. With 96
/// random bits, a key is safe for 2^32 tickets, or 190,000 per second for as long as it is used.
pub(super) struct TicketKey {
    name: KeyName,
    /// Boxed, so that moving the key leaves no copies. It is expanded for each ticket, because
    /// providers do not erase expanded keys. That costs little beside a handshake.
    secret: Box<Zeroizing<[u8; SECRET_LEN]>>,
    since: Instant,
    /// The age of the key at `since`, which is not zero if another process has made it.
    age: Duration,
}

impl TicketKey {
    /// The number of bytes of a saved key.
    pub(super) const SAVED_LEN: usize = size_of::<KeyName>() + SECRET_LEN + size_of::<u64>();

    /// Makes a random key. Returns `None` if the system has no random numbers.
    pub(super) fn generate(aead: Aead, now: Instant) -> Option<Self> {
        let mut key = TicketKey {
            name: aead.random()?,
            secret: Box::default(),
            since: now,
            age: Duration::ZERO,
        };
        aead.fill(&mut **key.secret)?;
        Some(key)
    }

    /// Derives the key of a period from a secret that other servers have too.
    pub(super) fn derive(
        aead: Aead,
        secret: &[u8],
        period: u32,
        now: Instant,
        age: Duration,
    ) -> Option<Self> {
        let mut key = TicketKey {
            name: KeyName::default(),
            secret: Box::default(),
            since: now,
            age,
        };
        let mut derived = Zeroizing::new([0; size_of::<KeyName>() + SECRET_LEN]);
        let info = [DERIVED_FOR, &period.to_be_bytes()];
        aead.derive(secret, &info, &mut *derived)?;
        let (name, secret) = derived.split_at(size_of::<KeyName>());
        key.name.copy_from_slice(name);
        key.secret.copy_from_slice(secret);
        Some(key)
    }

    pub(super) fn name(&self) -> &KeyName {
        &self.name
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        self.age
            .saturating_add(now.saturating_duration_since(self.since))
    }

    pub(super) fn encrypt(
        &self,
        aead: Aead,
        usage: Use,
        now: Instant,
        session: &[u8],
    ) -> Option<Vec<u8>> {
        let issued_at = IssuedAt::try_from(self.age(now).as_millis()).ok()?;
        let nonce: [u8; NONCE_LEN] = aead.random()?;
        let begin = self.name.len() + nonce.len();
        let len = begin + size_of::<IssuedAt>() + session.len() + TAG_LEN;
        let mut ticket = Vec::with_capacity(len);
        ticket.extend(self.name);
        ticket.extend(nonce);
        ticket.extend(issued_at.to_be_bytes());
        ticket.extend(session);
        let tag = aead.seal(&self.secret, nonce, &self.aad(usage), &mut ticket[begin..])?;
        ticket.extend(tag.as_ref());
        Some(ticket)
    }

    /// Returns the session of a ticket that begins with the name of this key, and its age.
    pub(super) fn decrypt(
        &self,
        aead: Aead,
        usage: Use,
        now: Instant,
        ticket: &[u8],
    ) -> Option<(Vec<u8>, Duration)> {
        let (nonce, sealed) = ticket
            .get(self.name.len()..)?
            .split_first_chunk::<NONCE_LEN>()?;
        let mut session = sealed.to_vec();
        let len = aead.open(&self.secret, *nonce, &self.aad(usage), &mut session)?;
        session.truncate(len);
        let issued_at = IssuedAt::from_be_bytes(*session.first_chunk()?);
        session.drain(..size_of::<IssuedAt>());
        let issued_at = Duration::from_millis(issued_at.into());
        // In another process that has the key, the key may be a moment older.
        let age = self.age(now).saturating_sub(issued_at);
        Some((session, age))
    }

    /// The name is authenticated, so that an attack on a tag concerns one key only.
    fn aad(&self, usage: Use) -> [u8; size_of::<KeyName>() + 1] {
        let mut aad = [usage as u8; size_of::<KeyName>() + 1];
        aad[1..].copy_from_slice(&self.name);
        aad
    }

    pub(super) fn save(&self, now: Instant, saved: &mut Vec<u8>) {
        saved.extend(self.name);
        saved.extend(&self.secret[..]);
        put_duration(saved, self.age(now));
    }

    pub(super) fn restore(now: Instant, saved: &mut Saved<'_>) -> Result<Self, Damaged> {
        let mut key = TicketKey {
            name: *saved.take()?,
            secret: Box::default(),
            since: now,
            age: saved.age,
        };
        key.secret.copy_from_slice(saved.take::<SECRET_LEN>()?);
        key.age = key.age.saturating_add(saved.take_duration()?);
        Ok(key)
    }
}
