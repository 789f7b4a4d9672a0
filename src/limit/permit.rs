//! Permits of a limit.

use super::Limit;

/// A permit from a [`Limit`]. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "a permit that is dropped is given back at once"]
pub struct Permit(Option<Limit>);

impl Permit {
    pub(super) fn new(limit: Limit, place: Place) -> Self {
        let Place { .. } = place;
        Permit(Some(limit))
    }

    /// Splits the permit into its place, which must be given back by [`Limit::give_back`], and the
    /// reference to its limit, which can be used to take the next permit.
    pub(crate) fn into_parts(mut self) -> (Place, Option<Limit>) {
        (Place::new(), self.0.take())
    }

    /// Gives the permit back, and returns the reference to its limit.
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

/// A permit without the reference to its limit. It must be given back by [`Limit::give_back`]; if
/// it is dropped, it is lost.
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
