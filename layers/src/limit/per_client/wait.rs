//! Waiting for another connection of the same client to end.

use super::{super::LAYER, CLIENT_CONNECTIONS, PerClient, clients::Place};
use crate::client::ip_of;
use reagent::{BoxError, Connection, IoStream, Upgrade};
use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::time::timeout;

/// Waits for a place as [`PerClient::wait`] allows. It is an upgrade, so that a drain ends the
/// wait.
pub(super) struct InLine(pub(super) PerClient);

impl InLine {
    async fn place(&self, ip: Option<IpAddr>) -> Option<Place> {
        let wait = self.0.wait?;
        let mut place = self.0.join(ip?, wait.most)?;
        timeout(wait.time, place.acquire()).await.ok()?;
        Some(place)
    }
}

impl<Io: IoStream> Upgrade<Io> for InLine {
    type Io = Io;

    async fn upgrade(&self, conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
        let Some(place) = self.place(ip_of(&conn)).await else {
            return Err(self.0.how().refuse(conn, CLIENT_CONNECTIONS).await);
        };
        conn.keep(place);
        Ok(conn)
    }

    fn name(&self) -> &'static str {
        CLIENT_CONNECTIONS
    }
}

/// The wait of a connection that is served in a dry run.
pub(super) type Shadow = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Reports a connection above the limit, unless it may wait. Then it gets a future that waits as an
/// enforced limit would, and either keeps the place for the connection or reports it.
pub(super) fn in_dry_run<Io>(
    limit: &PerClient,
    conn: &Connection<Io>,
    ip: IpAddr,
) -> Option<Shadow> {
    let handle = conn.handle();
    let waiting = limit
        .wait
        .and_then(|wait| Some((limit.join(ip, wait.most)?, wait.time)));
    let Some((mut place, time)) = waiting else {
        handle.report_spared(LAYER, CLIENT_CONNECTIONS);
        return None;
    };
    let kept = Arc::new(Mutex::new(None));
    conn.keep(kept.clone());
    Some(Box::pin(async move {
        match timeout(time, place.acquire()).await {
            Ok(()) => *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(place),
            Err(_) => handle.report_spared(LAYER, CLIENT_CONNECTIONS),
        }
    }))
}
