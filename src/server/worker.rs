//! The supervisor's record of one acceptor.

use crate::pool::{Assignment, AssignmentCell, Control, Key, Mode};
use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

/// The supervisor's record of one acceptor.
pub(super) struct Worker {
    pub(super) cell: Arc<AssignmentCell>,
    /// Whether it has a service, and so may own slots.
    pub(super) accepts: bool,
    pub(super) slots: Vec<usize>,
    /// The version of the control that it follows.
    pub(super) applied: u64,
    /// Whether it still has to sweep its slots.
    pub(super) sweeps: bool,
}

impl Worker {
    pub(super) fn new(cell: Arc<AssignmentCell>) -> Self {
        Worker {
            cell,
            accepts: false,
            slots: Vec::new(),
            applied: 0,
            sweeps: false,
        }
    }

    pub(super) fn assign(&mut self, mode: Mode, slots: Vec<usize>, control: &Control) {
        self.slots.clone_from(&slots);
        self.cell.set(Assignment {
            mode,
            slots,
            version: control.version,
            remakes: control.remakes,
        });
    }

    pub(super) fn stop(&mut self) {
        self.slots.clear();
        self.cell.set(Assignment {
            mode: Mode::Stop,
            slots: Vec::new(),
            version: u64::MAX,
            remakes: 0,
        });
    }

    pub(super) fn sweep(&mut self, slots: Vec<usize>) {
        self.sweeps = !slots.is_empty();
        self.slots.clone_from(&slots);
        self.cell.order(Assignment {
            mode: Mode::Sweep,
            slots,
            version: u64::MAX,
            remakes: 0,
        });
    }

    pub(super) fn sweep_also(&mut self, mut slots: Vec<usize>) {
        if self.sweeps {
            slots.extend(&self.slots);
        }
        self.sweep(slots);
    }
}

/// Returns the acceptors of a group that have a service.
pub(super) fn accepting(workers: &BTreeMap<Key, Worker>, group: u32) -> Vec<usize> {
    let workers = workers.range(all_of(group));
    let workers = workers.filter(|(_, worker)| worker.accepts);
    workers.map(|(key, _)| key.index).collect()
}

/// Returns the range of the keys of a group.
pub(super) fn all_of(group: u32) -> RangeInclusive<Key> {
    let key = |index| Key { group, index };
    key(0)..=key(usize::MAX)
}
