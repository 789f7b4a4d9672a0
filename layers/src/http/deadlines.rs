//! The time limits of a connection, and its drain.

use super::{
    Config, LAYER,
    activity::{Activity, Wait},
    kind,
    stall::Stall,
};
use crate::time::FAR;
use reagent::{BoxError, ConnectionHandle, Draining, TimedOut};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
};
use tokio::time::Instant;

/// Fewer bytes than this between two checks are not an answer, but pings, acknowledgements or a TLS
/// ticket.
const PROGRESS: u64 = 1024;

pub(super) struct Deadlines {
    pub(super) config: Arc<Config>,
    pub(super) handle: ConnectionHandle,
    pub(super) activity: Arc<Activity>,
    stall: Stall,
    /// The time by which the head of the first request has to be there.
    pub(super) first_head_ends: Instant,
    draining: Draining,
    /// The waker of the task that the drain wakes.
    waker: Option<Waker>,
    /// The time at which the connection noticed the drain.
    drained: Option<Instant>,
    /// The time at which it began to finish.
    finishing: Option<Instant>,
    /// The time at which an answer was last seen to move since the wait for a request began, and
    /// the bytes written by then.
    progress: Option<(Instant, u64)>,
    /// Whether a dry run has spared the connection.
    is_spared: bool,
}

pub(super) enum Look {
    /// Check again at this time.
    Again(Instant),
    /// The connection has been idle for too long.
    Finish,
    /// The connection has exceeded this limit.
    End(&'static str),
}

impl Deadlines {
    pub(super) fn new(
        config: Arc<Config>,
        handle: ConnectionHandle,
        activity: Arc<Activity>,
        first_head_ends: Instant,
    ) -> Self {
        Deadlines {
            config,
            draining: handle.draining(),
            handle,
            activity,
            stall: Stall::default(),
            first_head_ends,
            waker: None,
            drained: None,
            finishing: None,
            progress: None,
            is_spared: false,
        }
    }

    /// Returns the time at which the connection noticed the drain, if it has not begun to finish.
    pub(super) fn hears_of_drain(&mut self, cx: &mut Context<'_>) -> Option<Instant> {
        if self.finishing.is_some() {
            return None;
        }
        // Registered once per waker, which is once; from then on, the flag is enough.
        let is_known = |waker: &Waker| waker.will_wake(cx.waker());
        if !self.waker.as_ref().is_some_and(is_known) && !self.handle.is_draining() {
            self.waker = Some(cx.waker().clone());
            let _ = Pin::new(&mut self.draining).poll(cx);
        }
        if self.drained.is_none() && self.handle.is_draining() {
            self.drained = Some(Instant::now());
        }
        self.drained
    }

    /// Notes that the connection begins to finish.
    pub(super) fn finishes(&mut self) {
        self.finishing = Some(Instant::now());
    }

    /// Returns the result of a connection whose client took too long over its first bytes, or
    /// `None` if a dry run spares it.
    pub(super) fn gives_up(&mut self, has_begun: bool) -> Option<Result<(), BoxError>> {
        let kind = match has_begun {
            false if self.drained.is_some() => return Some(Ok(())),
            false => kind::FIRST_BYTE,
            true => kind::HEADER,
        };
        // The grace of a drain is no limit of this layer.
        let is_spared = self.drained.is_none() && self.spares(kind);
        (!is_spared).then(|| Err(TimedOut::new(kind).into()))
    }

    /// Returns whether a dry run spares the connection, which has exceeded a limit.
    fn spares(&mut self, kind: &str) -> bool {
        let dry_run = self.config.dry_run.as_ref();
        let is_spared = dry_run.is_some_and(|it| it.spares(&self.handle, LAYER, kind));
        self.is_spared |= is_spared;
        is_spared
    }

    /// Notes the time since which the client is waited for.
    pub(super) fn note(&mut self) {
        self.stall.ends(&self.activity, &self.config.stalls);
    }

    /// Checks whether the connection has waited for too long, and begins to finish it if it is
    /// idle.
    pub(super) fn look(&mut self, wait: Wait) -> Look {
        let look = self.check(wait);
        let kind = match look {
            Look::Again(_) | Look::End(kind::CLOSE) => return look,
            Look::Finish => kind::KEEP_ALIVE,
            Look::End(kind) => kind,
        };
        let now = Instant::now();
        if self.spares(kind) {
            return Look::Again(now + self.config.shortest());
        }
        if let Look::Finish = look {
            self.finishing = Some(now);
        }
        look
    }

    /// Returns whether a limit is exceeded, or when to check again.
    ///
    /// A wait that begins now cannot exceed a limit before the shortest of them has passed, and the
    /// check is made at least that often. So nothing that begins or ends has to set the timer.
    fn check(&mut self, wait: Wait) -> Look {
        let now = Instant::now();
        let mut next = now + self.config.shortest();
        let is_finishing = self.finishing.is_some() && matches!(wait, Wait::Request(..));
        if self.is_spared && !is_finishing {
            return Look::Again(next);
        }
        let stall = self.stall.ends(&self.activity, &self.config.stalls);
        if let Some(ends) = stall.filter(|_| !self.is_spared) {
            if ends <= now {
                return Look::End(kind::STREAM_IDLE);
            }
            next = next.min(ends);
        }
        let (since, limit, over) = match (wait, self.finishing) {
            (Wait::None, _) => return Look::Again(next),
            (Wait::Head(since), _) => {
                if self.activity.has_no_request() {
                    next = next.min(self.first_head_ends);
                    if self.first_head_ends <= now {
                        return Look::End(kind::HEADER);
                    }
                }
                (since, self.config.header, Look::End(kind::HEADER))
            }
            // The client does not leave.
            (Wait::Request(since, _), Some(began)) => {
                (since.max(began), self.config.header, Look::End(kind::CLOSE))
            }
            (Wait::Request(since, written), None) => {
                let since = self.taken(since, written, now);
                (since, self.config.keep_alive, Look::Finish)
            }
        };
        let Some(limit) = limit else {
            return Look::Again(next);
        };
        let ends = since + limit.min(FAR);
        if now < ends {
            return Look::Again(ends.min(next));
        }
        over
    }

    /// Returns the time since which the client is idle. A client that still takes its last answer
    /// is not.
    fn taken(&mut self, since: Instant, written: u64, now: Instant) -> Instant {
        let (since, written) = match self.progress {
            Some((at, written)) if at > since => (at, written),
            _ => (since, written),
        };
        let now_written = self.handle.bytes_written();
        if now_written - written < PROGRESS {
            return since;
        }
        self.progress = Some((now, now_written));
        now
    }
}
