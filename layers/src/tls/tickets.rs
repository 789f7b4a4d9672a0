//! Tickets with a limited lifetime.

use super::{
    TicketKeys,
    key_set::KEPT_FOR,
    provider::Aead,
    shared_keys::SharedKeys,
    ticket_key::{KeyName, TicketKey, Use},
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_rustls::rustls::server::ProducesTickets;

/// The longest ticket that is issued or accepted. A ticket has about 150 bytes, and more if it
/// contains client certificates.
const MAX_TICKET: usize = 16 * 1024;

/// Tickets of a configuration. Each records when it was issued, since its key may be kept for longer
/// than its lifetime.
pub(super) struct Tickets {
    keys: Keys,
    /// Without it, no tickets are issued or accepted.
    aead: Option<Aead>,
    usage: Use,
    lifetime: Duration,
}

/// Where the keys of tickets come from.
pub(super) enum Keys {
    /// They are random, and known to this process and its successors.
    Own(TicketKeys),
    /// They are those of all servers with the same files.
    Shared(SharedKeys),
}

impl Keys {
    fn present(&self, aead: Aead, now: Instant) -> Option<Arc<TicketKey>> {
        match self {
            Keys::Own(keys) => keys.present(aead, now),
            Keys::Shared(keys) => keys.present(aead, now),
        }
    }

    fn find(&self, aead: Aead, name: &KeyName, now: Instant) -> Option<Arc<TicketKey>> {
        match self {
            Keys::Own(keys) => keys.find(name, now),
            Keys::Shared(keys) => keys.find(aead, name, now),
        }
    }
}

impl Tickets {
    pub(super) fn new(keys: Keys, aead: Option<Aead>, usage: Use, lifetime: Duration) -> Self {
        Tickets {
            keys,
            aead,
            usage,
            lifetime: lifetime.min(KEPT_FOR),
        }
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.aead.is_some()
    }

    fn lifetime(&self) -> u32 {
        self.lifetime.as_secs().try_into().unwrap_or(u32::MAX)
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        let (aead, now) = (self.aead?, Instant::now());
        // The keys are not locked while the ticket is encrypted.
        let key = self.keys.present(aead, now)?;
        key.encrypt(aead, self.usage, now, session)
            .filter(|ticket| ticket.len() <= MAX_TICKET)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > MAX_TICKET {
            return None;
        }
        let (aead, now) = (self.aead?, Instant::now());
        let key = self.keys.find(aead, ticket.first_chunk()?, now)?;
        let (session, age) = key.decrypt(aead, self.usage, now, ticket)?;
        (age <= self.lifetime).then_some(session)
    }
}

/// Shows nothing of the keys.
impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets")
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}
