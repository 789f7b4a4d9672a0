//! The instructions of the supervisor to one acceptor.

use crate::sync::{Mutex, WakerSlot};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

/// The slots of an acceptor, and what to do with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) mode: Mode,
    pub(crate) slots: Vec<usize>,
    /// The version of the server's control that this follows.
    pub(crate) version: u64,
    /// The number of times that all services were to be replaced.
    pub(crate) remakes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Accept,
    /// Leaves clients in their queues.
    Pause,
    /// Serves the clients that are already in the queues, and no others.
    Sweep,
    Stop,
}

/// Holds the assignment of one acceptor, and wakes the acceptor when it changes.
#[derive(Debug)]
pub(crate) struct AssignmentCell {
    /// The number of changes.
    changes: AtomicU64,
    current: Mutex<Assignment>,
    /// Wakes the acceptor, both for this and for its slots.
    acceptor: Arc<WakerSlot>,
}

impl AssignmentCell {
    pub(crate) fn new(remakes: u64) -> Self {
        AssignmentCell {
            changes: AtomicU64::new(1),
            current: Mutex::new(Assignment {
                mode: Mode::Pause,
                slots: Vec::new(),
                version: 0,
                remakes,
            }),
            acceptor: Arc::default(),
        }
    }

    pub(crate) fn acceptor(&self) -> &Arc<WakerSlot> {
        &self.acceptor
    }

    /// Assigns this, unless the acceptor has the same assignment already.
    pub(crate) fn set(&self, assignment: Assignment) {
        if *self.current.lock() != assignment {
            self.order(assignment);
        }
    }

    /// Assigns this, even if the acceptor has the same assignment already.
    pub(crate) fn order(&self, assignment: Assignment) {
        {
            let mut current = self.current.lock();
            *current = assignment;
            self.changes.fetch_add(1, Ordering::Release);
        }
        self.acceptor.wake();
    }

    /// Returns the assignment, and the number by which a later change is noticed.
    pub(crate) fn get(&self) -> (Assignment, u64) {
        let current = self.current.lock();
        (current.clone(), self.changes.load(Ordering::Relaxed))
    }

    pub(crate) fn has_changed(&self, seen: u64) -> bool {
        self.changes.load(Ordering::Acquire) != seen
    }

    /// Registers the acceptor, and is ready if the assignment has changed.
    pub(crate) fn poll_changed(&self, seen: u64, cx: &mut Context<'_>) -> Poll<()> {
        self.acceptor.register(cx.waker());
        match self.has_changed(seen) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}
