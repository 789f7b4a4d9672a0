//! How long a connection may wait for what, and whether it is to finish.

use super::{
    Config,
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

/// Fewer bytes than these between two looks are no answer: pings, acknowledgements, a ticket of TLS.
const PROGRESS: u64 = 1024;

pub(super) struct Deadlines {
    pub(super) config: Arc<Config>,
    pub(super) handle: ConnectionHandle,
    pub(super) activity: Arc<Activity>,
    stall: Stall,
    /// By when the head of the first request is to be there.
    pub(super) first_head_ends: Instant,
    draining: Draining,
    /// The task that the drain wakes.
    waker: Option<Waker>,
    /// When it heard of the drain.
    drained: Option<Instant>,
    /// When it began to finish.
    finishing: Option<Instant>,
    /// When bytes were last found to have gone out since a request was asked for, and how many.
    progress: Option<(Instant, u64)>,
}

pub(super) enum Look {
    /// Look again then.
    Again(Instant),
    /// It has been idle long enough.
    Finish,
    /// It has exceeded this limit.
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
        }
    }

    /// When it heard of the drain, if it is still to finish.
    pub(super) fn hears_of_drain(&mut self, cx: &mut Context<'_>) -> Option<Instant> {
        if self.finishing.is_some() {
            return None;
        }
        // Registered once for each waker, which is once; then a look at a flag is enough.
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

    /// Notes that it finishes.
    pub(super) fn finishes(&mut self) {
        self.finishing = Some(Instant::now());
    }

    /// The end of a client that has waited too long with its first bytes.
    pub(super) fn gives_up(&self, has_begun: bool) -> Result<(), BoxError> {
        match (has_begun, self.drained) {
            (false, Some(_)) => Ok(()),
            (false, None) => Err(TimedOut::new(kind::FIRST_BYTE).into()),
            (true, _) => Err(TimedOut::new(kind::HEADER).into()),
        }
    }

    /// Notes since when the client is waited for.
    pub(super) fn note(&mut self) {
        self.stall.ends(&self.activity, &self.config.stalls);
    }

    /// Looks whether it waits for too long.
    ///
    /// A wait that begins just now is over at the earliest after the shortest limit, and this looks at least that
    /// often: so nothing that begins or ends has to set the timer.
    pub(super) fn look(&mut self, wait: Wait) -> Look {
        let now = Instant::now();
        let mut next = now + self.config.shortest();
        if let Some(ends) = self.stall.ends(&self.activity, &self.config.stalls) {
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
            // It does not go.
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
        if let Look::Finish = over {
            self.finishing = Some(now);
        }
        over
    }

    /// Since when a client is idle: one that still takes its last answer is not.
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
