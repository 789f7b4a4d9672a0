//! Tickets with a limited lifetime.

use std::{fmt, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_rustls::rustls::{Error, crypto::ring, server::ProducesTickets};

/// The time for which a ticket of rustls is valid: it makes a new key every 6 hours and keeps the
/// previous one.
pub(super) const MAX_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// Tickets that contain their creation time. rustls replaces a key only when another ticket is
/// requested, so that with few clients a ticket would stay valid for days.
pub(super) struct Tickets {
    tickets: Arc<dyn ProducesTickets>,
    began: Instant,
    lifetime: Duration,
}

impl Tickets {
    pub(super) fn ticketer(lifetime: Duration) -> Result<Arc<dyn ProducesTickets>, Error> {
        Ok(Arc::new(Tickets {
            tickets: ring::Ticketer::new()?,
            began: Instant::now(),
            lifetime: lifetime.min(MAX_LIFETIME),
        }))
    }

    fn now(&self) -> u64 {
        self.began
            .elapsed()
            .as_millis()
            .try_into()
            .unwrap_or(u64::MAX)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.tickets.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.lifetime.as_secs().try_into().unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.tickets
            .encrypt(&[&self.now().to_be_bytes(), plain].concat())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let mut plain = self.tickets.decrypt(cipher)?;
        let made = u64::from_be_bytes(*plain.first_chunk()?);
        let age = Duration::from_millis(self.now().checked_sub(made)?);
        plain.drain(..size_of::<u64>());
        (age <= self.lifetime).then_some(plain)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets")
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}
