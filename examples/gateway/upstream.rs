//! The innermost service: connects to an upstream, and relays bytes in both directions.

use crate::{header, options::ProxyOut, values::Target};
use reagent::{BoxError, Connection, ErrorChain};
use reagent_layers::{
    connect::{Cached, Connect, ConnectRequest, System},
    relay::Relay,
};
use std::{
    fmt::Display,
    sync::{Arc, LazyLock},
    time::Duration,
};
use tower::ServiceExt;

/// The counter of connections whose upstream could not be reached.
pub const ERRORS: &str = "gateway_upstream_errors_total";

/// The time limit for connecting to the upstream and sending it a PROXY header.
const CONNECT: Duration = Duration::from_secs(5);

/// How long the addresses of a name are used, so that an upstream may move.
const NAMES: Duration = Duration::from_secs(5);

/// The connector of all listeners, which share the addresses of names.
pub static CONNECTOR: LazyLock<Connect> = LazyLock::new(|| {
    let resolver = Cached::new(System::new()).default_ttl(NAMES);
    Connect::new().resolver(resolver).timeout(CONNECT)
});

/// An upstream, and the PROXY header that its connections begin with.
#[derive(Debug)]
pub struct Upstream {
    pub to: Target,
    pub proxy_out: Option<ProxyOut>,
}

impl Upstream {
    /// Serves a connection until both sides have closed it.
    pub async fn serve(self: Arc<Self>, conn: Connection) -> Result<(), BoxError> {
        let mut request = ConnectRequest::new(self.to.to_connect());
        if let Some(version) = self.proxy_out {
            request = request.preface(header::encode(&conn, version)?);
        }
        let connected = CONNECTOR.clone().oneshot(request).await;
        let upstream = connected.inspect_err(|error| not_reached(conn.id(), &ErrorChain(error)))?;
        let draining = conn.draining();
        Relay::new().run_until(conn, upstream, draining).await?;
        Ok(())
    }
}

/// Reports that no upstream was reached.
pub fn not_reached(id: u64, error: &dyn Display) {
    tracing::warn!(connection.id = id, %error, "upstream not reached");
    metrics::counter!(ERRORS).increment(1);
}
