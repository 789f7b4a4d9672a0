//! The service that holds clients back.

use super::{PRESSURE, PressureLayer};
use crate::refusal::LimitFuture;
use reagent::{BoxError, Connection, IoStream};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// The service of a [`PressureLayer`]. It is ready when the pressure is below the threshold of the
/// pause and the inner service is ready.
pub struct PressureService<S> {
    inner: S,
    layer: Arc<PressureLayer>,
    /// Waits for the end of a pause.
    resumed: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl<S> PressureService<S> {
    pub(super) fn new(inner: S, layer: Arc<PressureLayer>) -> Self {
        PressureService {
            inner,
            layer,
            resumed: None,
        }
    }

    /// Waits while the pressure is above the threshold of the pause.
    fn poll_resumed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (Some(pause), pressure) = (self.layer.pause, &self.layer.pressure) else {
            return Poll::Ready(());
        };
        if self.resumed.is_none() && pressure.shared.pausing() < pause {
            return Poll::Ready(());
        }
        let resumed = self.resumed.get_or_insert_with(|| {
            let mut level = pressure.subscribe();
            Box::pin(async move {
                let _ = level.wait_for(|level| level.pausing.held < pause).await;
            })
        });
        ready!(resumed.as_mut().poll(cx));
        self.resumed = None;
        Poll::Ready(())
    }
}

impl<S, Io> Service<Connection<Io>> for PressureService<S>
where
    S: Service<Connection<Io>>,
    S::Error: Into<BoxError>,
    Io: IoStream,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = LimitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        ready!(self.poll_resumed(cx));
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        if let Some((threshold, refusal)) = &self.layer.refuse {
            let shared = &self.layer.pressure.shared;
            let dry_run = &self.layer.dry_run;
            if shared.all() >= *threshold && !dry_run.spares(conn.as_ref(), "pressure", PRESSURE) {
                shared.counts.refused.fetch_add(1, Relaxed);
                return LimitFuture::refusing(refusal, conn, PRESSURE);
            }
        }
        LimitFuture::serving(self.inner.call(conn), None)
    }
}

impl<S: Clone> Clone for PressureService<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.layer.clone())
    }
}

impl<S: fmt::Debug> fmt::Debug for PressureService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PressureService")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish_non_exhaustive()
    }
}
