//! Waiting for another connection of the same client to end.

use super::{CLIENT_CONNECTIONS, PerClient, clients::Place};
use crate::client::ip_of;
use reagent::{BoxError, Connection, IoStream, Upgrade};
use std::net::IpAddr;
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
