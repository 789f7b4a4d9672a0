//! Making the service of an acceptor, and replacing one that failed.

use super::{
    Backoff,
    accept_loop::{AcceptLoop, Setup},
    service::{Serving, Supply, catching},
    state::State,
};
use crate::{
    BoxError,
    connection::event,
    panic::discard,
    pool::News,
    service::{ConnectionService, Spawn},
};
use std::time::Duration;
use tokio::time::Instant;

/// How long making a service may take. It may connect to other services, but must not hang.
const MAKE_TIMEOUT: Duration = Duration::from_secs(60);

impl<S: ConnectionService, X: Spawn> AcceptLoop<S, X> {
    /// Makes a service. The previous one, if there is one, is kept meanwhile.
    pub(super) fn make(&mut self) {
        self.remakes = self.cell.get().0.remakes;
        if let State::AtStack { slot } = self.state {
            self.reserved_for = Some(slot);
        }
        let making = match &self.setup.supply {
            Supply::Cloned { fresh, .. } => {
                let made = catching(|| fresh());
                return self.made(made);
            }
            Supply::Made(make) => catching(|| make(self.acceptor.clone())),
        };
        match making {
            Ok(making) => self.state = State::Making(making, Instant::now() + MAKE_TIMEOUT),
            Err(error) => self.made(Err(error)),
        }
    }

    pub(super) fn made(&mut self, made: Result<S, BoxError>) {
        match (made, &mut self.serving) {
            (Ok(service), Some(serving)) => {
                serving.replace(service);
                self.reserved_for = None;
            }
            (Ok(service), None) => {
                let Setup { pool, spawn, .. } = &self.setup;
                let serving = Serving::new(service, spawn.clone(), &self.acceptor, pool);
                self.serving = Some(serving);
                self.reporter.send(News::Ready);
            }
            (Err(error), Some(_)) => {
                self.observe_service_failure(&error, Duration::ZERO);
                discard(error);
            }
            (Err(error), None) => return self.fail(error),
        }
        self.state = State::Paused;
        self.seen = 0;
    }

    pub(super) fn too_long_to_make(&mut self) {
        let message = format!("making the service took longer than {MAKE_TIMEOUT:?}");
        self.made(Err(message.into()));
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
        self.observe_service_failure(&error, delay);
        self.give_up(error, Instant::now() + delay);
    }

    fn observe_service_failure(&self, error: &BoxError, retry_in: Duration) {
        let event = event::AcceptorFailed {
            acceptor: &self.acceptor,
            error,
            retry_in,
        };
        let registry = &self.pool().registry;
        registry.observe(|observer| observer.acceptor_failed(&event));
    }

    fn give_up(&mut self, error: BoxError, until: Instant) {
        (self.reserved_for, self.is_stale) = (None, false);
        self.let_go();
        self.state = State::BackingOff(until);
        self.recovery.forget_slots();
        self.reporter.send(News::Failed(error));
    }
}
