//! The same server on reagent. A layer reads the PROXY header in the task of the connection, and
//! only from trusted networks.

use super::player::serve;
use crate::common;
use reagent::{BoxError, Connection, Server, handle};
use reagent_layers::{
    Network, proxy_protocol::ProxyProtocolLayer, timeout::TimeoutsLayer, trace::TraceObserver,
};
use std::time::Duration;

pub async fn run(listen: String, trust: Vec<Network>) -> Result<(), BoxError> {
    let serve = |conn: Connection<_>| {
        let player = conn.peer_addr().clone();
        // In a drain, the client's input ends, and `serve` returns.
        serve(conn.eof_on_drain(), player)
    };
    let signal = common::signal()?;
    let server = Server::bind(listen)
        .options(common::keepalive)
        .max_connections(10_000)
        .observe(TraceObserver::new())
        .layer(ProxyProtocolLayer::new(trust).timeout(Duration::from_secs(5)))
        .layer(TimeoutsLayer::new().first_byte(Duration::from_secs(5)))
        .start(handle(serve))
        .await?;
    common::print(format_args!("listening on {}", server.local_addr()));

    common::drain_on(&server, signal, Duration::from_secs(10)).await?;
    Ok(())
}
