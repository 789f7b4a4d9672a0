//! A permit of a limit.

use super::Limit;

/// A permit from a [`Limit`]. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "a permit that is dropped is given back at once"]
pub struct Permit(Option<Limit>);

impl Permit {
    pub(super) fn new(limit: Limit) -> Self {
        Permit(Some(limit))
    }

    /// Leaves the permit taken, to be given back by number.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(limit) = self.0.take() {
            limit.release();
        }
    }
}
