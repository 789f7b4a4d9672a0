//! How fast clients are accepted, all together.

use super::Gated;
use crate::{
    Refusal,
    client::bucket::{Bucket, Rate},
};
use reagent::{BoxError, Connection, IoStream};
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};
use tower_layer::Layer;
use tower_service::Service;

/// A changed rate is seen after this, by who waits already.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// So many connections a second; clones share it, whichever servers they limit.
#[derive(Clone, Debug)]
pub struct AcceptRate(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    rate: Rate,
    bucket: Bucket,
}

impl AcceptRate {
    /// So many a second, and after a pause up to `burst` at once, which is at least 1.
    pub fn new(per_second: f64, burst: f64) -> Self {
        let rate = Rate::new(per_second, burst);
        let bucket = Bucket::full(rate, Instant::now());
        AcceptRate(Arc::new(Mutex::new(State { rate, bucket })))
    }

    /// Changes the rate, from a second from now on at the latest.
    pub fn set(&self, per_second: f64, burst: f64) {
        self.with(|state| state.rate = Rate::new(per_second, burst));
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self) -> Result<(), Option<Duration>> {
        self.with(|state| state.bucket.take(state.rate, Instant::now()))
    }
}

/// Limits how fast clients are accepted: by its readiness, so they wait in the kernel's queue, or by
/// refusing those who come too fast.
#[derive(Clone, Debug)]
pub struct AcceptRateLayer {
    rate: AcceptRate,
    shed: Option<Refusal>,
}

impl AcceptRateLayer {
    /// Lets clients wait.
    pub fn new(rate: AcceptRate) -> Self {
        AcceptRateLayer { rate, shed: None }
    }

    /// Refuses them instead.
    pub fn shed(mut self, refusal: Refusal) -> Self {
        self.shed = Some(refusal);
        self
    }
}

impl<S> Layer<S> for AcceptRateLayer {
    type Service = AcceptRateService<S>;

    fn layer(&self, inner: S) -> AcceptRateService<S> {
        AcceptRateService {
            inner,
            layer: self.clone(),
            is_reserved: false,
            sleep: None,
        }
    }
}

/// The service of an [`AcceptRateLayer`].
#[derive(Debug)]
pub struct AcceptRateService<S> {
    inner: S,
    layer: AcceptRateLayer,
    /// A token is taken for the connection to come.
    is_reserved: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<S: Clone> Clone for AcceptRateService<S> {
    fn clone(&self) -> Self {
        self.layer.layer(self.inner.clone())
    }
}

impl<S> Drop for AcceptRateService<S> {
    fn drop(&mut self) {
        if self.is_reserved {
            self.layer.rate.with(|state| state.bucket.give_back(1.0));
        }
    }
}

impl<S, Io> Service<Connection<Io>> for AcceptRateService<S>
where
    S: Service<Connection<Io>>,
    S::Error: Into<BoxError>,
    Io: IoStream,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Gated<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        while !self.is_reserved && self.layer.shed.is_none() {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            match self.layer.rate.take() {
                Ok(()) => self.is_reserved = true,
                Err(wait) => {
                    let wait = wait.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN);
                    self.sleep = Some(Box::pin(sleep(wait)));
                }
            }
        }
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        self.is_reserved = false;
        if let Some(refusal) = &self.layer.shed {
            if self.layer.rate.take().is_err() {
                let refusal = refusal.clone();
                return Gated::refusing(async move { refusal.refuse(conn, "accept rate").await });
            }
        }
        Gated::serving(self.inner.call(conn), None)
    }
}
