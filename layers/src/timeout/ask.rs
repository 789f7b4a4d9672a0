//! Checks that a wait is still in progress.

use super::flow::Flow;
use crate::time::FAR;
use std::{task::Context, time::Duration};

/// The time that a woken task has to poll its read or write again.
const ANSWER: Duration = Duration::from_secs(1);

/// A question to the task that waits in one direction.
///
/// A future that was waiting may have been dropped, which leaves no trace. Therefore, before a
/// limit ends the connection because of a wait, the task is woken. If the wait is still in
/// progress, the task polls again. If it does not, the wait is over.
#[derive(Debug, Default)]
pub(super) struct Ask {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    polls: u64,
    until: Duration,
}

impl Ask {
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Returns the time until which the task may answer.
    pub(super) fn until(&self) -> Duration {
        self.open.as_ref().map_or(FAR, |open| open.until)
    }

    /// Returns whether the task has polled since the question, or has stopped waiting.
    pub(super) fn is_answered(&self, flow: &Flow) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| flow.waiting_since().is_none() || flow.polls() != open.polls)
    }

    /// Returns whether the wait is still in progress, or `None` if that is not known yet.
    pub(super) fn is_real(&mut self, flow: &Flow, now: Duration, cx: &Context<'_>) -> Option<bool> {
        flow.waiting_since()?;
        let Some(open) = &self.open else {
            self.open = Some(Open {
                polls: flow.ask(cx),
                until: now.saturating_add(ANSWER),
            });
            return None;
        };
        if flow.polls() != open.polls {
            return Some(true);
        }
        if now < open.until {
            return None;
        }
        flow.give_up(open.polls);
        self.open = None;
        Some(false)
    }

    /// Closes the question if it has been answered.
    pub(super) fn settle(&mut self, flow: &Flow) {
        if self.is_answered(flow) {
            self.open = None;
        }
    }
}
