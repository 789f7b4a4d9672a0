//! Whether the gateway accepts clients at any address.

use reagent::{ReadinessHold, ServerHandle};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Holds the readiness of the server back while all its addresses are paused or closed. Clones
/// share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    server: OnceLock<ServerHandle>,
    hold: Mutex<Option<ReadinessHold>>,
}

impl Readiness {
    pub fn attach(&self, server: &ServerHandle) {
        let _ = self.0.server.set(server.clone());
    }

    /// Looks at the addresses.
    pub fn update(&self) {
        let Some(server) = self.0.server.get() else {
            return;
        };
        let mut hold = self.0.hold.lock().unwrap_or_else(PoisonError::into_inner);
        let accepts = server
            .stats()
            .listeners
            .iter()
            .any(|listener| !listener.is_paused && listener.lost.is_none());
        if accepts {
            *hold = None;
        } else if hold.is_none() {
            *hold = Some(server.readiness().hold("no address accepts clients"));
        }
    }
}
