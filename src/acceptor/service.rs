//! The service of an acceptor: where it comes from, and how it is called.

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

/// The source of the services of acceptors.
pub(crate) enum Supply<S> {
    /// Clones of one service. Replacing a service that was polled ready by its clone gives back
    /// what it has reserved.
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

/// The service of an acceptor. It is counted and reported to observers for as long as it exists.
pub(super) struct Serving<S, X> {
    /// `None` only during `drop`.
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

    /// Serves a client. An error means that the service panicked, which ends that connection.
    pub(super) fn call(&mut self, conn: Connection) -> Result<(), BoxError> {
        self.start().serve(conn)
    }

    /// Modifies the inner service.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut S)) {
        change(&mut self.start().service);
    }

    /// Replaces the inner service. The old one may be broken, and panic even when it is dropped.
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

/// Runs user code, and turns a panic into an error.
pub(super) fn catching<T>(f: impl FnOnce() -> T) -> Result<T, BoxError> {
    catch(f).map_err(Into::into)
}
