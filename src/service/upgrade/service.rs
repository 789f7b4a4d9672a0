//! The service of an upgrade.

use super::{Upgrade, UpgradeFuture, UpgradeLayer, future::is_called_last};
use crate::{BoxError, connection::Connection};
use std::{
    fmt, mem,
    task::{Context, Poll},
};
use tower_service::Service;

/// The service of an [`UpgradeLayer`]. It is ready when the inner service is.
pub struct UpgradeService<U, S> {
    /// `None` after the last call.
    parts: Option<(UpgradeLayer<U>, S)>,
}

impl<U, S> UpgradeService<U, S> {
    pub(super) fn new(layer: UpgradeLayer<U>, inner: S) -> Self {
        UpgradeService {
            parts: Some((layer, inner)),
        }
    }
}

impl<U, S: Clone> Clone for UpgradeService<U, S> {
    fn clone(&self) -> Self {
        UpgradeService {
            parts: self.parts.clone(),
        }
    }
}

impl<U, S: fmt::Debug> fmt::Debug for UpgradeService<U, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeService")
            .field("inner", &self.parts.as_ref().map(|(_, inner)| inner))
            .finish_non_exhaustive()
    }
}

impl<U, S, Io> Service<Connection<Io>> for UpgradeService<U, S>
where
    U: Upgrade<Io>,
    S: Service<Connection<U::Io>> + Clone,
    S::Error: Into<BoxError>,
    Io: Send + 'static,
    U::Io: 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = UpgradeFuture<S, U::Io>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match &mut self.parts {
            Some((_, inner)) => inner.poll_ready(cx).map_err(Into::into),
            None => Poll::Ready(Err(
                "the service of an upgrade was used again after its last call; clone it before \
                 calling it"
                    .into(),
            )),
        }
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        // The service that was polled ready is the one that is called; a clone stays for the next
        // connection. Inside the future of another upgrade there is no next connection, so in a
        // stack of upgrades only the outermost one clones.
        let next = match is_called_last(self) {
            true => None,
            false => self.parts.clone(),
        };
        let parts = mem::replace(&mut self.parts, next);
        let Some((layer, inner)) = parts else {
            unreachable!("`poll_ready` has failed");
        };
        layer.upgrade_and_serve(conn, inner)
    }
}
