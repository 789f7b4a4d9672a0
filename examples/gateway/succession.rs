//! Taking over from another process, and handing over to the next one.

use crate::pages::Pages;
use reagent::{BoxError, Carried, Observer, event};
use reagent_layers::{admin::Admin, health::Health};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

const REPLACED: &str = "this gateway is being replaced; repeat the request";

/// The part of the pages in a hand-over. It is the first state that is saved: what was changed on
/// the admin page after the bans were saved would be lost.
#[derive(Clone)]
pub struct Succession {
    has_happened: Arc<AtomicBool>,
    admin: Option<Admin>,
    health: Option<Health>,
}

impl Succession {
    pub fn new(pages: &Pages) -> Self {
        Succession {
            has_happened: Arc::default(),
            admin: pages.admin.as_ref().map(|page| page.admin.clone()),
            health: pages.metrics.as_ref().map(|page| page.health.clone()),
        }
    }

    /// Returns whether a predecessor has handed over to this process.
    pub fn has_happened(&self) -> bool {
        self.has_happened.load(Relaxed)
    }
}

impl Carried for Succession {
    fn name(&self) -> &str {
        "gateway"
    }

    fn save(&self) -> Vec<u8> {
        if let Some(admin) = &self.admin {
            admin.refuse_writes(REPLACED);
        }
        Vec::new()
    }

    fn restore(&self, _: &[u8]) -> Result<(), BoxError> {
        self.has_happened.store(true, Relaxed);
        Ok(())
    }
}

impl Observer for Succession {
    fn handed_over(&self, _: &event::HandedOver) {
        // They are served until the successor takes them over, too.
        if let Some(admin) = &self.admin {
            admin.handed_over();
        }
        if let Some(health) = &self.health {
            health.handed_over();
        }
    }

    fn handover_failed(&self, _: &event::HandoverFailed<'_>) {
        if let Some(admin) = &self.admin {
            admin.allow_writes();
        }
    }
}
