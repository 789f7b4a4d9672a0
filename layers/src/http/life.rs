//! How long a connection may wait for what, and whether it is to finish.

use super::{Config, head::Wait};
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

pub(super) struct Life {
    pub(super) config: Arc<Config>,
    pub(super) handle: ConnectionHandle,
    draining: Draining,
    /// Who is told of the drain.
    told: Option<Waker>,
    /// When it heard of the drain.
    drained: Option<Instant>,
    /// When it was told to finish.
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

impl Life {
    pub(super) fn new(config: Arc<Config>, handle: ConnectionHandle) -> Self {
        Life {
            config,
            draining: handle.draining(),
            handle,
            told: None,
            drained: None,
            finishing: None,
            progress: None,
        }
    }

    /// When it heard of the drain, if it is still to be told to finish.
    pub(super) fn hears_of_drain(&mut self, cx: &mut Context<'_>) -> Option<Instant> {
        if self.finishing.is_some() {
            return None;
        }
        // Registered once for each waker, which is once; then a look at a flag is enough.
        let is_known = |told: &Waker| told.will_wake(cx.waker());
        if !self.told.as_ref().is_some_and(is_known) && !self.handle.is_draining() {
            self.told = Some(cx.waker().clone());
            let _ = Pin::new(&mut self.draining).poll(cx);
        }
        if self.drained.is_none() && self.handle.is_draining() {
            self.drained = Some(Instant::now());
        }
        self.drained
    }

    /// Notes that it was told to finish.
    pub(super) fn finishes(&mut self) {
        self.finishing = Some(Instant::now());
    }

    /// The end of a client that has waited too long with its first bytes.
    pub(super) fn gives_up(&self, has_begun: bool) -> Result<(), BoxError> {
        match (has_begun, self.drained) {
            (false, Some(_)) => Ok(()),
            (false, None) => Err(TimedOut::new("first byte").into()),
            (true, _) => Err(TimedOut::new("http header").into()),
        }
    }

    /// Looks whether it waits for too long.
    ///
    /// A wait that begins just now is over at the earliest after the shortest limit, and this looks at least that
    /// often: so nothing that begins or ends has to set the timer.
    pub(super) fn look(&mut self, wait: Wait) -> Look {
        let now = Instant::now();
        let next = now + self.config.shortest();
        let (since, limit, over) = match (wait, self.finishing) {
            (Wait::None, _) => return Look::Again(next),
            (Wait::Rest(since), _) => (since, self.config.header, Look::End("http header")),
            // Told to finish, hyper closes what is half a head, and goes on with a body.
            (Wait::Either(since), _) => (since, self.config.header, Look::Finish),
            // It has been told to go, and does not hear it.
            (Wait::Request(since, _), Some(told)) => {
                (since.max(told), self.config.header, Look::End("http close"))
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

    /// Since when a client is idle: who still takes its last answer is not.
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
