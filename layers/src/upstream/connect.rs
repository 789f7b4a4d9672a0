//! Connecting to an upstream, and to others if it fails.

use super::{
    error::{FailedAttempt, UpstreamError, classify},
    guard::{Place, UpstreamGuard},
    handle::Upstreams,
    health::Failure,
    key::Key,
    shared::NoPlace,
};
use reagent::BoxError;
use std::{future::Future, sync::Arc};
use tokio::time::{Instant, timeout_at};

/// A connection to an upstream, and the guard that counts it as open. The guard has to live as long
/// as the stream.
#[derive(Debug)]
pub struct Connected<S> {
    /// What the connector has returned.
    pub stream: S,
    /// Counts the connection as open.
    pub guard: UpstreamGuard,
}

impl<T: Clone + Send + Sync + 'static> Upstreams<T> {
    /// Connects to an upstream with the function `connect`, which may also send a header, do a
    /// handshake, or wait for the first byte of the server: what it fails on is retried.
    ///
    /// If it fails or takes too long, the next upstream is tried, within the limits of the
    /// [builder](super::UpstreamsBuilder): 2 others, 3 s each and 9 s for all of them.
    ///
    /// # Errors
    ///
    /// Returns an [`UpstreamError`] with all attempts if there is no upstream, none was reached, or
    /// none had room.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped, its place at an upstream or in the queue is free
    /// again. An upstream that has not answered by then is not counted as failed.
    pub async fn connect<S, E, F>(
        &self,
        key: Key,
        mut connect: impl FnMut(T) -> F,
    ) -> Result<Connected<S>, UpstreamError>
    where
        F: Future<Output = Result<S, E>>,
        E: Into<BoxError>,
    {
        let began = Instant::now();
        let settings = &self.shared.settings;
        let deadline = began + settings.timeout;
        let mut tried = Vec::new();
        let mut attempts = Vec::new();
        loop {
            let taken = match self.shared.take(key, &tried, deadline).await {
                Ok(taken) => taken,
                Err(no_place) => return Err(failed(attempts, Some(no_place))),
            };
            let place = Place::new(self.shared.clone(), &taken);
            let target = T::clone(&taken.target);
            drop(taken);
            let began = Instant::now();
            let limit = began + settings.attempt;
            let (failure, error) = match timeout_at(limit.min(deadline), connect(target)).await {
                Ok(Ok(stream)) => {
                    let guard = place.connected();
                    return Ok(Connected { stream, guard });
                }
                Ok(Err(error)) => classify(&error.into()),
                Err(_) => {
                    let took = began.elapsed();
                    // It had less time than it may take.
                    let is_cut = limit > deadline;
                    let failure = if is_cut {
                        Failure::Local
                    } else {
                        Failure::Connect
                    };
                    (failure, format!("no answer within {took:?}").into())
                }
            };
            tried.push(place.number);
            attempts.push(FailedAttempt {
                upstream: place.name.clone(),
                error: Arc::clone(&error),
                took: began.elapsed(),
            });
            place.failed(failure, error);
            if attempts.len() > settings.retries || Instant::now() >= deadline {
                return Err(failed(attempts, None));
            }
        }
    }
}

fn failed(attempts: Vec<FailedAttempt>, no_place: Option<NoPlace>) -> UpstreamError {
    UpstreamError { attempts, no_place }
}
