//! The resolver of the operating system.

use super::{Resolve, Resolved};
use reagent::BoxError;
use std::{net::ToSocketAddrs, sync::Arc};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// The number of lookups at a time.
const DEFAULT_LOOKUPS: usize = 32;

/// The resolver of the operating system: `getaddrinfo(3)`, with `/etc/hosts`, search domains and the
/// order of RFC 6724.
///
/// A lookup occupies one of Tokio's threads for blocking work until the system answers, even if
/// nobody waits for it any longer. At most 32 run at the same time, by clones of one `System`
/// together, so that a name server that does not answer leaves threads for everything else. Further
/// lookups wait.
///
/// `getaddrinfo` does not report how long an answer is valid. To ask less often, wrap the resolver
/// in [`Cached`](super::Cached).
#[derive(Clone, Debug)]
pub struct System {
    places: Arc<Semaphore>,
}

impl System {
    /// Creates a resolver with at most 32 lookups at the same time.
    pub fn new() -> Self {
        System::with_lookups(DEFAULT_LOOKUPS)
    }

    /// Creates a resolver with at most `lookups` at the same time. 0 counts as 1.
    pub fn with_lookups(lookups: usize) -> Self {
        let places = lookups.clamp(1, Semaphore::MAX_PERMITS);
        System {
            places: Arc::new(Semaphore::new(places)),
        }
    }
}

impl Default for System {
    fn default() -> Self {
        System::new()
    }
}

impl Resolve for System {
    async fn resolve(&self, name: &str) -> Result<Resolved, BoxError> {
        let place = self.places.clone().acquire_owned().await?;
        let name = name.to_owned();
        let lookup = spawn_blocking(move || {
            // Held by the thread: dropping the future does not end the lookup.
            let _place = place;
            (name.as_str(), 0).to_socket_addrs().map(Resolved::new)
        });
        Ok(lookup.await??)
    }
}
