//! The number of connections for which there are descriptors.

use super::{actions::KeptDescriptors, sources::used_and_max};
use reagent::Limit;

/// More clients than a server accepts between two samples. While as many descriptors are free, the
/// limit is left alone, so that a server without one does not count under a lock.
const BURST: u64 = 10_000;

/// Lowers a limit to what there are descriptors for, and restores it when dropped.
pub(super) struct Ceiling {
    limit: Limit,
    kept: KeptDescriptors,
    /// The maximum as others have set it.
    own: usize,
    /// The maximum as set here.
    set: usize,
    /// The descriptors that belong to no connection.
    others: u64,
}

impl Ceiling {
    pub(super) fn new(limit: Limit, kept: KeptDescriptors) -> Self {
        let max = limit.max();
        Ceiling {
            limit,
            kept,
            own: max,
            set: max,
            others: 0,
        }
    }

    pub(super) fn apply(&mut self, open: usize) {
        match used_and_max() {
            Some((used, max)) => self.apply_to(used, max, open),
            None => self.set(usize::MAX),
        }
    }

    fn apply_to(&mut self, used: u64, max: u64, open: usize) {
        let KeptDescriptors { free, each } = self.kept;
        let others = used.saturating_sub(each.saturating_mul(open as u64));
        // Falls slowly: a connection that has yet to open the rest of its descriptors makes it look
        // lower than it is.
        self.others = others.max(self.others - self.others.saturating_sub(others) / 16);
        if max.saturating_sub(used) > BURST {
            return self.set(usize::MAX);
        }
        let room = max.saturating_sub(free).saturating_sub(self.others) / each;
        // At least one, or nobody could ever be served.
        self.set(usize::try_from(room.max(1)).unwrap_or(usize::MAX));
    }

    fn set(&mut self, most: usize) {
        let max = self.limit.max();
        if max != self.set {
            self.own = max;
        }
        self.set = self.own.min(most);
        if self.set != max {
            self.limit.set_max(self.set);
        }
    }
}

impl Drop for Ceiling {
    fn drop(&mut self) {
        self.set(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ceiling(max: usize, each: u64) -> (Limit, Ceiling) {
        let limit = Limit::new(max);
        let kept = KeptDescriptors { free: 16, each };
        (limit.clone(), Ceiling::new(limit, kept))
    }

    #[test]
    fn the_limit_is_lowered_to_what_there_are_descriptors_for() {
        let (limit, mut ceiling) = ceiling(1000, 1);
        ceiling.apply_to(20, 200, 0);
        assert_eq!(limit.max(), 164);
        ceiling.apply_to(120, 200, 100);
        assert_eq!(limit.max(), 164, "the others have 20");
        // Somebody lowers the limit, and raises it.
        limit.set_max(50);
        ceiling.apply_to(120, 200, 100);
        assert_eq!(limit.max(), 50);
        limit.set_max(usize::MAX);
        ceiling.apply_to(120, 200, 100);
        assert_eq!(limit.max(), 164);
        // A large process is left alone until few are free.
        ceiling.apply_to(120, 1_000_000, 100);
        assert_eq!(limit.max(), usize::MAX);
        ceiling.apply_to(990_020, 1_000_000, 990_000);
        assert_eq!(limit.max(), 999_964);
        drop(ceiling);
        assert_eq!(limit.max(), usize::MAX);
    }

    #[test]
    fn a_proxy_has_two_descriptors_for_each_connection() {
        let (limit, mut ceiling) = ceiling(usize::MAX, 2);
        ceiling.apply_to(20, 200, 0);
        assert_eq!(limit.max(), 82);
        // 40 have opened one of two.
        ceiling.apply_to(60, 200, 40);
        assert!(limit.max() <= 83, "{limit:?}");
    }
}
