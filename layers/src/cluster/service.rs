//! The service of a cluster limit.

use super::{
    ClusterFuture, LOST_LABEL,
    admission::{Admission, Answered, First, Verdict},
    stats::Counters,
    trial::{Kept, Trial},
};
use crate::{client::ip_of, refusal::LimitFuture};
use reagent::{BoxError, Connection, ConnectionHandle, IoStream, Rejected, Upgrade, UpgradeLayer};
use std::{
    mem,
    net::IpAddr,
    task::{Context, Poll},
};
use tower_service::Service;

/// The service of a [`ClusterLayer`](super::ClusterLayer). It is ready when the inner service is.
#[derive(Clone, Debug)]
pub struct ClusterService<S, L> {
    inner: S,
    limit: L,
}

impl<S, L> ClusterService<S, L> {
    pub(super) fn new(inner: S, limit: L) -> Self {
        ClusterService { inner, limit }
    }
}

impl<S, L, Io> Service<Connection<Io>> for ClusterService<S, L>
where
    S: Service<Connection<Io>> + Clone,
    S::Error: Into<BoxError>,
    L: Admission,
    Io: IoStream,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ClusterFuture<S, Io>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        let verdict = match self.limit.decide(ip_of(&conn)) {
            First::Decided(answered) => noted(&self.limit, conn.as_ref(), answered),
            First::Ask if self.limit.policy().dry_run.is_on() => {
                let deciding = decide(self.limit.clone(), conn.handle(), ip_of(&conn));
                let trial = Trial::new(Box::pin(deciding), self.inner.call(conn));
                return ClusterFuture::tried(trial);
            }
            First::Ask => {
                // The service that was polled ready is the one to call: it goes with the
                // connection.
                let next = self.inner.clone();
                let inner = mem::replace(&mut self.inner, next);
                let layer = UpgradeLayer::new(Asking(self.limit.clone())).timeout(None);
                return ClusterFuture::asking(layer.upgrade_and_serve(conn, inner));
            }
        };
        match verdict {
            Verdict::Refused(reason) if !self.limit.policy().spares(conn.as_ref(), reason) => {
                let refusing = LimitFuture::refusing(&self.limit.policy().refusal, conn, reason);
                return ClusterFuture::decided(refusing);
            }
            Verdict::Admitted(place) if mem::needs_drop::<L::Place>() => conn.keep(place),
            Verdict::Admitted(_) | Verdict::Refused(_) => {}
        }
        ClusterFuture::decided(LimitFuture::serving(self.inner.call(conn), None))
    }
}

/// Returns the verdict. One that the store did not give is counted, and shown as a label.
fn noted<L: Admission>(
    limit: &L,
    conn: &ConnectionHandle,
    answered: Answered<L::Place>,
) -> Verdict<L::Place> {
    let verdict = match answered {
        Answered::ByStore(verdict) => return verdict,
        Answered::Lost(verdict) => verdict,
    };
    let shared = &limit.policy().cluster.shared;
    let counters = &shared.counters;
    let counter = match verdict {
        Verdict::Admitted(_) => &counters.admitted_without_store,
        Verdict::Refused(_) => &counters.refused_without_store,
    };
    Counters::add(counter, 1);
    conn.set_label(LOST_LABEL, shared.settings.lost.as_str());
    verdict
}

/// Asks the store, and returns the verdict.
async fn ask<L: Admission>(
    limit: &L,
    conn: &ConnectionHandle,
    ip: Option<IpAddr>,
) -> Verdict<L::Place> {
    Counters::add(&limit.policy().cluster.shared.counters.asked, 1);
    noted(limit, conn, limit.ask(ip).await)
}

/// Decides in a dry run. If that has ended meanwhile, a connection that is refused is ended.
async fn decide<L: Admission>(limit: L, conn: ConnectionHandle, ip: Option<IpAddr>) -> Kept {
    match ask(&limit, &conn, ip).await {
        Verdict::Admitted(place) => Some(Box::new(place)),
        Verdict::Refused(reason) => {
            if !limit.policy().spares(&conn, reason) {
                conn.reject(Rejected::new(reason));
            }
            None
        }
    }
}

/// Asks the store. It is an upgrade, since the connection waits for it.
struct Asking<L>(L);

impl<L: Admission, Io: IoStream> Upgrade<Io> for Asking<L> {
    type Io = Io;

    async fn upgrade(&self, conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
        let limit = &self.0;
        match ask(limit, conn.as_ref(), ip_of(&conn)).await {
            Verdict::Admitted(place) => {
                conn.keep(place);
                Ok(conn)
            }
            Verdict::Refused(reason) if limit.policy().spares(conn.as_ref(), reason) => Ok(conn),
            Verdict::Refused(reason) => Err(limit.policy().refusal.refuse(conn, reason).await),
        }
    }

    fn name(&self) -> &'static str {
        "cluster"
    }
}
