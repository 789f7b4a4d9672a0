//! When HTTP/1 waits for the head of a request.

use super::Activity;
use reagent::ConnectionHandle;
use std::sync::Arc;
use tokio::time::Instant;

/// What a connection waits for.
pub(in crate::http) enum Wait {
    /// For no request: one is being served.
    None,
    /// For a request, since then, when this number of bytes had been written.
    Request(Instant, u64),
    /// For the rest of a head, since then.
    Head(Instant),
}

/// Finds out what an HTTP/1 connection waits for.
pub(in crate::http) struct HeadWatch {
    activity: Arc<Activity>,
    handle: ConnectionHandle,
    /// How many requests were over when a head was first waited for, and since when that is.
    ended: u64,
    since: Instant,
    /// How many bytes had come by then, and how many had gone: the answers before, but for what a client does not
    /// take.
    read: u64,
    written: u64,
    /// When a part of it was there.
    partial: Option<Instant>,
}

impl HeadWatch {
    /// Of a connection from which something has come at `began`.
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

    /// Looks at what hyper has done.
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
