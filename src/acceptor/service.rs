//! The service of an acceptor: where it comes from, and what it does for a client.

use crate::{
    BoxError,
    connection::{Acceptor, Connection},
    panic::{catch, discard},
    pool::Pool,
    service::{ConnectionService, Spawn, Start},
};
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};
use tower_service::Service;

/// The future of a service that is being made.
pub(super) type Making<S> = Pin<Box<dyn Future<Output = Result<S, BoxError>> + Send>>;

/// Where acceptors get their services from.
pub(crate) enum Supply<S> {
    /// Clones of one service; a clone of a service that was polled ready gives back what that reserved.
    Cloned {
        fresh: Arc<dyn Fn() -> S + Send + Sync>,
        release: fn(&mut S),
    },
    /// Services made for each acceptor.
    Made(Arc<dyn Fn(Acceptor) -> Making<S> + Send + Sync>),
}

impl<S> Clone for Supply<S> {
    fn clone(&self) -> Self {
        match self {
            Supply::Cloned { fresh, release } => Supply::Cloned {
                fresh: fresh.clone(),
                release: *release,
            },
            Supply::Made(make) => Supply::Made(make.clone()),
        }
    }
}

/// The service of an acceptor, which is counted and announced as long as it lives.
pub(super) struct Serving<S, X> {
    /// Always there but in `drop`.
    start: Option<Start<S, X>>,
    acceptor: Acceptor,
    pool: Arc<Pool>,
}

impl<S: ConnectionService, X: Spawn> Serving<S, X> {
    pub(super) fn new(service: S, spawn: X, acceptor: &Acceptor, pool: &Arc<Pool>) -> Self {
        pool.acceptors.fetch_add(1, Ordering::Relaxed);
        pool.registry
            .observe(|observer| observer.acceptor_started(acceptor));
        Serving {
            start: Some(Start::new(service, spawn)),
            acceptor: acceptor.clone(),
            pool: pool.clone(),
        }
    }

    fn start(&mut self) -> &mut Start<S, X> {
        match &mut self.start {
            Some(start) => start,
            None => unreachable!("taken in drop only"),
        }
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.start().poll_ready(cx)
    }

    /// Serves a client; an error is a panic of the service, which ends that connection.
    pub(super) fn call(&mut self, conn: Connection) -> Result<(), BoxError> {
        self.start().serve(conn)
    }

    /// Changes the service within.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut S)) {
        change(&mut self.start().service);
    }

    /// Replaces the service within; the old one may be broken, and panic even when it is dropped.
    pub(super) fn replace(&mut self, service: S) {
        let spawn = self.start().spawn.clone();
        discard(self.start.replace(Start::new(service, spawn)));
    }
}

impl<S, X> Drop for Serving<S, X> {
    fn drop(&mut self) {
        discard(self.start.take());
        self.pool.acceptors.fetch_sub(1, Ordering::Relaxed);
        self.pool
            .registry
            .observe(|observer| observer.acceptor_stopped(&self.acceptor));
    }
}

/// Runs a user's code whose panic is an error.
pub(super) fn catching<T>(f: impl FnOnce() -> T) -> Result<T, BoxError> {
    catch(f).map_err(Into::into)
}
