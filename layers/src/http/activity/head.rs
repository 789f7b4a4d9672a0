//! The wait of an HTTP/1 connection for the head of a request.

use super::Activity;
use reagent::ConnectionHandle;
use std::sync::Arc;
use tokio::time::Instant;

/// The part of a request that a connection waits for.
pub(in crate::http) enum Wait {
    /// Nothing, since a request is being served.
    None,
    /// A request, since this time, when this number of bytes had been written.
    Request(Instant, u64),
    /// The rest of a head, since this time.
    Head(Instant),
}

/// The observer of what an HTTP/1 connection waits for.
pub(in crate::http) struct HeadWatch {
    activity: Arc<Activity>,
    handle: ConnectionHandle,
    /// The number of requests that were over when the wait for a head began, and the time of that.
    ended: u64,
    since: Instant,
    /// The numbers of bytes read and written by then. Those written are the earlier answers, except
    /// for what the client has not taken.
    read: u64,
    written: u64,
    /// The time at which a part of the head had arrived.
    partial: Option<Instant>,
}

impl HeadWatch {
    /// Creates the observer of a connection whose first bytes came at `began`.
    pub(in crate::http) fn new(
        activity: Arc<Activity>,
        handle: ConnectionHandle,
        began: Instant,
    ) -> Self {
        HeadWatch {
            activity,
            handle,
            ended: 0,
            since: began,
            read: 0,
            written: 0,
            partial: Some(began),
        }
    }

    /// Updates the state after hyper was polled.
    pub(in crate::http) fn look(&mut self) {
        if self.activity.is_busy() {
            return;
        }
        let (ended, read) = (self.activity.ended(), self.handle.bytes_read());
        if ended != self.ended {
            self.ended = ended;
            self.since = Instant::now();
            self.read = read;
            self.written = self.handle.bytes_written();
            self.partial = None;
        } else if self.partial.is_none() && read != self.read {
            self.partial = Some(Instant::now());
        }
    }

    pub(in crate::http) fn wait(&self) -> Wait {
        match self.partial {
            _ if self.activity.is_busy() => Wait::None,
            Some(since) => Wait::Head(since),
            None => Wait::Request(self.since, self.written),
        }
    }
}
