//! Bytes that a connection may use.

use super::Rate;

/// The bytes that a connection takes beyond what it wants, if there is plenty, so that it asks less
/// often.
pub(super) const SPARE: u64 = 64 * 1024;

/// Bytes that may be read or written now, and the bits of the scopes that they were taken from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Grant {
    pub(super) bytes: u64,
    /// The number of those bytes that may be kept for later.
    pub(super) spare: u64,
    pub(super) taken: u8,
}

impl Grant {
    pub(super) fn unlimited(bytes: u64) -> Self {
        Grant {
            bytes,
            spare: 0,
            taken: 0,
        }
    }
}

/// Returns the part of `want` that a connection gets in one turn if it has to wait.
pub(super) fn turn(rates: &[Option<Rate>; 3], want: u64) -> u64 {
    rates
        .iter()
        .flatten()
        .fold(want, |turn, rate| turn.min(rate.turn()))
}
