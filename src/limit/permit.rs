//! What a limit has granted.

use super::Limit;

/// The right to be one of those that a [`Limit`] counts; dropping it gives it back.
#[derive(Debug)]
#[must_use = "a permit that is dropped is given back at once"]
pub struct Permit(Option<Limit>);

impl Permit {
    pub(super) fn new(limit: Limit, place: Place) -> Self {
        let Place { .. } = place;
        Permit(Some(limit))
    }

    /// Splits it into the place, which whoever takes it gives back by [`Limit::give_back`], and the
    /// reference to its limit, to take the next permit with.
    pub(crate) fn into_parts(mut self) -> (Place, Option<Limit>) {
        (Place::new(), self.0.take())
    }

    /// Gives it back, and returns the reference to its limit.
    pub(crate) fn release(self) -> Option<Limit> {
        let (place, limit) = self.into_parts();
        if let Some(limit) = &limit {
            limit.give_back(place);
        }
        limit
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
