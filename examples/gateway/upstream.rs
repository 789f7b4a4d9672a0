//! The innermost service: connects to an upstream, and relays bytes in both directions.

use crate::{header, options::ProxyOut, values::Target};
use reagent::{BoxError, Connection, IoStream};
use reagent_layers::relay::{Relay, Resettable};
use std::{fmt::Display, future::Future, io, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UnixStream},
    time::{sleep, timeout},
};

/// The counter of connections whose upstream could not be reached.
pub const ERRORS: &str = "gateway_upstream_errors_total";

/// The time limit for connecting to the upstream and sending it a PROXY header.
const CONNECT: Duration = Duration::from_secs(5);

/// The delay between attempts to connect to a Unix socket whose queue is full.
const QUEUE_FULL: Duration = Duration::from_millis(20);

/// An upstream, and the PROXY header that its connections begin with.
#[derive(Debug)]
pub struct Upstream {
    pub to: Target,
    pub proxy_out: Option<ProxyOut>,
}

impl Upstream {
    /// Serves a connection until both sides have closed it.
    pub async fn serve(self: Arc<Self>, conn: Connection) -> Result<(), BoxError> {
        let header = match self.proxy_out {
            Some(version) => header::encode(&conn, version)?,
            None => Vec::new(),
        };
        match &self.to {
            Target::Tcp(addr) => {
                self.carry(conn, tcp(TcpStream::connect(addr)), header)
                    .await
            }
            Target::Name(name) => {
                self.carry(conn, tcp(TcpStream::connect(name)), header)
                    .await
            }
            Target::Unix(path) => self.carry(conn, unix(path), header).await,
        }
    }

    async fn carry<U>(
        &self,
        conn: Connection,
        connect: impl Future<Output = io::Result<U>>,
        header: Vec<u8>,
    ) -> Result<(), BoxError>
    where
        U: IoStream + Resettable,
    {
        let connect = async {
            let mut upstream = connect.await?;
            upstream.write_all(&header).await?;
            io::Result::Ok(upstream)
        };
        let connected = timeout(CONNECT, connect).await;
        let upstream = connected
            .unwrap_or_else(|elapsed| Err(elapsed.into()))
            .map_err(|error| {
                let error = format!("could not reach the upstream {}: {error}", self.to);
                not_reached(conn.id(), &error);
                error
            })?;
        let draining = conn.draining();
        Relay::new().run_until(conn, upstream, draining).await?;
        Ok(())
    }
}

async fn tcp(connect: impl Future<Output = io::Result<TcpStream>>) -> io::Result<TcpStream> {
    let stream = connect.await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects to a Unix socket. If its queue is full, `connect` does not wait as it does for TCP, but
/// fails with `EAGAIN` (see `unix(7)`), so it is retried.
async fn unix(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                sleep(QUEUE_FULL).await;
            }
            connected => return connected,
        }
    }
}

/// Reports that no upstream was reached.
pub fn not_reached(id: u64, error: &dyn Display) {
    tracing::warn!(connection.id = id, %error, "upstream not reached");
    metrics::counter!(ERRORS).increment(1);
}
