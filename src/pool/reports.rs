//! The reports of acceptors to the supervisor.

use crate::BoxError;
use tokio::sync::mpsc;

/// The group and the number of an acceptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) group: u32,
    pub(crate) index: usize,
}

#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) from: Key,
    pub(crate) news: News,
}

#[derive(Debug)]
pub(crate) enum News {
    /// It has a service and can own slots.
    Ready,
    /// It no longer has a service, and has dropped its slots.
    Failed(BoxError),
    /// It follows the assignment of this version.
    Applied(u64),
    /// It has swept its slots.
    Swept,
}

/// The sender of the reports of one acceptor.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    pub(crate) key: Key,
    pub(crate) to: mpsc::UnboundedSender<Report>,
}

impl Reporter {
    pub(crate) fn send(&self, news: News) {
        // Without a supervisor the server is over, and its acceptors end with it.
        let _ = self.to.send(Report {
            from: self.key,
            news,
        });
    }
}
