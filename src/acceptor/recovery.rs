//! What an acceptor does when accepting fails.

use super::accept_loop::{AcceptLoop, or_control};
use crate::{
    ConnectionService, ErrorClass, Spawn,
    acceptor::{
        Backoff,
        exhaustion::{self, Exhausted},
    },
    pool::Stage,
};
use std::{io, ops::ControlFlow, pin::pin, time::Duration};

/// After so many clients that were gone before they were accepted, one after the other, something
/// else is wrong.
const CONNECTION_ERRORS_AT_ONCE: u32 = 64;

impl<S: ConnectionService, X: Spawn> AcceptLoop<S, X> {
    pub(super) fn still_exhausted(&self) -> Option<io::Error> {
        self.exhausted.as_ref().and_then(|_| exhaustion::persists())
    }

    pub(super) fn recovered(&mut self) {
        self.connection_errors = 0;
        self.backoff.reset();
        self.exhausted = None;
    }

    pub(super) async fn accept_failed(&mut self, index: usize, error: io::Error) {
        let class = ErrorClass::classify(&error);
        self.shared
            .observe(|observer| observer.accept_failed(&self.acceptor, &error, class));
        match class {
            ErrorClass::Connection => {
                self.retry = Some(index);
                self.connection_errors += 1;
                if self.connection_errors > CONNECTION_ERRORS_AT_ONCE {
                    self.exhausted(&error, class).await;
                }
            }
            ErrorClass::Exhaustion => {
                self.retry = Some(index);
                if ErrorClass::lacks_descriptors(&error) && self.backoff.failures() > 0 {
                    if let Some(source) = self.sources.list.get_mut(index) {
                        let count = self.shared.exhaustion.turn_away(&mut *source.listener);
                        self.shared.counters.turned_away(count);
                    }
                }
                self.exhausted(&error, class).await;
            }
            ErrorClass::Fatal => self.reopen(index, &error).await,
        }
    }

    /// Waits a while for better times.
    pub(super) async fn exhausted(&mut self, error: &io::Error, class: ErrorClass) {
        if class == ErrorClass::Exhaustion && self.exhausted.is_none() {
            self.exhausted = Some(Exhausted::begin(&self.shared, error));
        }
        let delay = self.backoff.next_delay();
        let _ = or_control(&mut self.control, tokio::time::sleep(delay)).await;
    }

    /// Replaces a listening socket that is lost.
    async fn reopen(&mut self, index: usize, error: &io::Error) {
        let source = self.sources.list.remove(index);
        let shared = self.shared.clone();
        let group = &shared.groups[self.group];
        if group.lose(&source, error) {
            shared.observe(|observer| observer.listener_lost(group.addr(), error));
        }
        let mut backoff = Backoff::default();
        loop {
            match group.reopen(&source) {
                Some(Ok(is_news)) => {
                    if is_news {
                        shared.observe(|observer| observer.listener_reopened(group.addr()));
                    }
                    // Has the new queue assigned.
                    self.control.mark_changed();
                    return;
                }
                Some(Err(error)) => {
                    let delay = backoff.next_delay();
                    shared.observe(|observer| {
                        observer.listener_reopen_failed(group.addr(), &error, Some(delay));
                    });
                    if self.wait_out(delay).await.is_break() {
                        return;
                    }
                }
                None => {
                    shared.observe(|observer| {
                        observer.listener_reopen_failed(group.addr(), error, None);
                    });
                    shared.stop_if_no_listeners();
                    return;
                }
            }
        }
    }

    /// Waits this long, whatever the control are, but for one to stop.
    pub(super) async fn wait_out(&mut self, delay: Duration) -> ControlFlow<()> {
        let mut sleep = pin!(tokio::time::sleep(delay));
        // What is seen here is still to be followed.
        let mut control = self.control.clone();
        control.mark_changed();
        loop {
            if control.has_changed().unwrap_or(true) {
                let control = control.borrow_and_update();
                if self.acceptor.index >= control.acceptors()
                    || !matches!(control.stage, Stage::Running)
                {
                    return ControlFlow::Break(());
                }
            }
            if or_control(&mut control, sleep.as_mut()).await.is_some() {
                return ControlFlow::Continue(());
            }
        }
    }
}
