//! The stages of a server's life.

use super::Shutdown;
use crate::{connection::DrainReport, error::Error};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Longer than any process runs, and short enough to be added to an `Instant`.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// // ## Running => LameDuck => Draining => Stopped
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Running,
    LameDuck(LameDuck),
    Draining(Drain),
    Stopped(DrainReport, Option<Arc<Error>>),
}

/// The time between the request to shut down and the drain.
#[derive(Clone, Debug)]
pub(crate) struct LameDuck {
    since: Instant,
    pub(crate) until: Instant,
    deadline: Duration,
    spread: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Drain {
    /// When the remaining connections are aborted; `None` means never.
    pub(crate) deadline: Option<Instant>,
    /// When every connection has been notified.
    pub(crate) notified_by: Instant,
    /// Whether clients in the queues are still served.
    pub(crate) sweep: bool,
    /// The number of connections that had ended when the drain began.
    pub(crate) over: u64,
    /// The time that the server was a lame duck.
    pub(crate) lame_duck: Duration,
    /// The reason, if nobody requested the drain.
    pub(crate) error: Option<Arc<Error>>,
}

impl Stage {
    /// Follows a request to shut down. If it is not the first one, every stage ends at the earliest
    /// of the times that were requested. Returns whether anything has changed.
    pub(super) fn shut_down(&mut self, shutdown: Shutdown, now: Instant, over: u64) -> bool {
        let mut requested = LameDuck::new(shutdown, now);
        match self {
            Stage::Running => {}
            Stage::LameDuck(known) => requested.shorten(known),
            Stage::Draining(drain) => return drain.shorten(shutdown, now),
            Stage::Stopped(..) => return false,
        }
        *self = match requested.until <= now {
            true => Stage::Draining(requested.end(now, over)),
            false => Stage::LameDuck(requested),
        };
        true
    }

    /// Ends the lame duck stage. Returns false if something else has ended it.
    pub(super) fn end_lame_duck(&mut self, now: Instant, over: u64) -> bool {
        let Stage::LameDuck(lame_duck) = self else {
            return false;
        };
        *self = Stage::Draining(lame_duck.end(now, over));
        true
    }

    /// Ends everything now.
    pub(super) fn abort(&mut self, now: Instant, over: u64) -> bool {
        let is_accepting = matches!(self, Stage::Running | Stage::LameDuck(_));
        let changed = self.shut_down(Shutdown::new(Duration::ZERO), now, over);
        if let (Stage::Draining(drain), true) = (self, is_accepting) {
            drain.sweep = false;
        }
        changed
    }

    /// Ends a server that has lost all its listeners. That is an error unless it was about to end
    /// anyway.
    pub(super) fn lose_listeners(&mut self, now: Instant, over: u64) -> bool {
        let was_running = matches!(self, Stage::Running);
        let changed = match self {
            Stage::Running => self.shut_down(Shutdown::new(Duration::MAX), now, over),
            _ => self.end_lame_duck(now, over),
        };
        if let (Stage::Draining(drain), true) = (self, changed) {
            drain.sweep = false;
            drain.error = was_running.then(|| Arc::new(Error::ListenersLost));
        }
        changed
    }
}

impl LameDuck {
    fn new(shutdown: Shutdown, now: Instant) -> Self {
        LameDuck {
            since: now,
            until: now + shutdown.lame_duck.min(FOREVER),
            deadline: shutdown.deadline,
            spread: shutdown.spread,
        }
    }

    fn shorten(&mut self, known: &LameDuck) {
        self.since = known.since;
        self.until = self.until.min(known.until);
        self.deadline = self.deadline.min(known.deadline);
        self.spread = self.spread.min(known.spread);
    }

    fn end(&self, now: Instant, over: u64) -> Drain {
        Drain {
            // A deadline too far in the future to be represented is no deadline.
            deadline: now.checked_add(self.deadline),
            notified_by: now + self.spread.min(self.deadline).min(FOREVER),
            sweep: true,
            over,
            lame_duck: now - self.since,
            error: None,
        }
    }
}

impl Drain {
    fn shorten(&mut self, shutdown: Shutdown, now: Instant) -> bool {
        let known = (self.deadline, self.notified_by);
        let requested = LameDuck::new(shutdown, now).end(now, 0);
        self.deadline = [self.deadline, requested.deadline]
            .into_iter()
            .flatten()
            .min();
        self.notified_by = self.notified_by.min(requested.notified_by);
        (self.deadline, self.notified_by) != known
    }
}
