//! What a limit has granted.

use super::Limit;

/// The right to be one of those that a [`Limit`] counts; dropping it gives it back.
#[derive(Debug)]
pub struct Permit(Option<Limit>);

impl Permit {
    pub(super) fn new(limit: Limit, place: Place) -> Self {
        let Place { .. } = place;
        Permit(Some(limit))
    }

    /// The place alone, for a caller that holds the limit in another way.
    #[cfg_attr(
        not(any(test, loom)),
        expect(dead_code, reason = "`connection` keeps whole permits so far")
    )]
    pub(crate) fn into_place(mut self) -> Place {
        self.0 = None;
        Place::new()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(limit) = self.0.take() {
            limit.give_back(Place::new());
        }
    }
}

/// A permit without a reference to its limit, which whoever has it gives back by
/// [`Limit::give_back`]; dropped, it is lost.
#[derive(Debug)]
#[must_use = "a place that is not given back is lost to the limit"]
pub(crate) struct Place {
    _private: (),
}

impl Place {
    pub(super) fn new() -> Self {
        Place { _private: () }
    }
}
