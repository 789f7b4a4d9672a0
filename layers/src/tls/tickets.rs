//! Tickets with a limited lifetime.

use super::{TicketKeys, key_set::KEPT_FOR, ticket_key::Use};
use std::time::Duration;
use tokio_rustls::rustls::server::ProducesTickets;

/// Tickets of a configuration. Each records when it was issued, since its key may be kept for longer
/// than its lifetime.
#[derive(Debug)]
pub(super) struct Tickets {
    keys: TicketKeys,
    usage: Use,
    lifetime: Duration,
}

impl Tickets {
    pub(super) fn new(keys: TicketKeys, usage: Use, lifetime: Duration) -> Self {
        Tickets {
            keys,
            usage,
            lifetime: lifetime.min(KEPT_FOR),
        }
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.lifetime.as_secs().try_into().unwrap_or(u32::MAX)
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.keys.encrypt(self.usage, session)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (session, age) = self.keys.decrypt(self.usage, ticket)?;
        (age <= self.lifetime).then_some(session)
    }
}
