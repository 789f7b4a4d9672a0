//! Making the service of an acceptor, and replacing one that failed.

use super::{
    Backoff,
    accept_loop::{AcceptLoop, Setup},
    service::{Serving, Supply},
    state::State,
};
use crate::{
    BoxError,
    connection::event,
    pool::News,
    service::{ConnectionService, Spawn},
};
use std::time::Duration;
use tokio::time::Instant;

/// How long making a service may take. It may connect to other services, but must not hang.
const MAKE_TIMEOUT: Duration = Duration::from_secs(60);

impl<S: ConnectionService, X: Spawn> AcceptLoop<S, X> {
    pub(super) fn make(&mut self) {
        self.state = match &self.setup.supply {
            Supply::Cloned { fresh, .. } => {
                let service = fresh();
                return self.made(service);
            }
            Supply::Made(make) => {
                State::Making(make(self.acceptor.clone()), Instant::now() + MAKE_TIMEOUT)
            }
        };
    }

    pub(super) fn made(&mut self, service: S) {
        let Setup { pool, spawn, .. } = &self.setup;
        let serving = Serving::new(service, spawn.clone(), &self.acceptor, pool);
        self.serving = Some(serving);
        self.state = State::Paused;
        self.seen = 0;
        self.reporter.send(News::Ready);
    }

    pub(super) fn fail_to_make(&mut self) {
        let message = format!("making the service took longer than {MAKE_TIMEOUT:?}");
        self.fail(message.into());
    }

    /// Replaces a service that panicked, or that reserved something for no client. The first
    /// replacement is immediate, so that no client waits for what another has caused. Those that
    /// follow soon are delayed, since making a service may be expensive.
    pub(super) fn renew(&mut self) {
        if let (Supply::Cloned { fresh, .. }, Some(serving)) =
            (&self.setup.supply, &mut self.serving)
        {
            return serving.replace(fresh());
        }
        let now = Instant::now();
        let is_first = self
            .renewed_at
            .replace(now)
            .is_none_or(|before| now - before > Backoff::LONGEST);
        if is_first {
            self.renewals.reset();
        }
        let delay = match is_first {
            true => Duration::ZERO,
            false => self.renewals.next_delay(),
        };
        self.give_up("the service is replaced".into(), now + delay);
    }

    /// Reports that the service failed, and makes another one after a delay.
    pub(super) fn fail(&mut self, error: BoxError) {
        let delay = self.failures.next_delay();
        let event = event::AcceptorFailed {
            acceptor: &self.acceptor,
            error: &error,
            retry_in: delay,
        };
        self.pool()
            .registry
            .observe(|observer| observer.acceptor_failed(&event));
        self.give_up(error, Instant::now() + delay);
    }

    fn give_up(&mut self, error: BoxError, until: Instant) {
        (self.reserved_for, self.is_stale) = (None, false);
        self.let_go();
        self.state = State::BackingOff(until);
        self.recovery.forget_slots();
        self.reporter.send(News::Failed(error));
    }
}
