//! Whether this process has taken over from another one.

use reagent::{BoxError, Carried};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// Notes that a predecessor has handed over its state, which this is a part of.
#[derive(Clone, Default)]
pub struct Succession(Arc<AtomicBool>);

impl Succession {
    pub fn has_happened(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl Carried for Succession {
    fn name(&self) -> &str {
        "gateway"
    }

    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&self, _: &[u8]) -> Result<(), BoxError> {
        self.0.store(true, Relaxed);
        Ok(())
    }
}
