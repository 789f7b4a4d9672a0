//! Tickets with a limited lifetime.

use super::{TicketKeys, key_set::KEPT_FOR, provider::Aead, ticket_key::Use};
use std::{fmt, time::Duration};
use tokio_rustls::rustls::server::ProducesTickets;

/// Tickets of a configuration. Each records when it was issued, since its key may be kept for longer
/// than its lifetime.
pub(super) struct Tickets {
    keys: TicketKeys,
    /// Without it, no tickets are issued or accepted.
    aead: Option<Aead>,
    usage: Use,
    lifetime: Duration,
}

impl Tickets {
    pub(super) fn new(
        keys: TicketKeys,
        aead: Option<Aead>,
        usage: Use,
        lifetime: Duration,
    ) -> Self {
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
        self.keys.encrypt(self.aead?, self.usage, session)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (session, age) = self.keys.decrypt(self.aead?, self.usage, ticket)?;
        (age <= self.lifetime).then_some(session)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets")
            .field("keys", &self.keys)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}
