//! The same broker on reagent. A layer performs each handshake in the task of the connection,
//! within a time limit.

use super::broker::Broker;
use crate::common;
use reagent::{BoxError, Connection, Server, handle};
use reagent_layers::{
    limit::{PerClient, PerClientLayer},
    timeout::TimeoutsLayer,
    tls::TlsLayer,
    trace::TraceObserver,
};
use std::{path::Path, time::Duration};

pub async fn run(listen: String, cert: &Path, key: &Path) -> Result<(), BoxError> {
    let broker = Broker::new();
    let serve = move |conn: Connection<_>| {
        let broker = broker.clone();
        // In a drain, the client's input ends, and `serve` returns.
        async move { broker.serve(conn.eof_on_drain()).await }
    };
    let signal = common::signal()?;
    let server = Server::bind(listen)
        .options(common::keepalive)
        .max_connections(10_000)
        .observe(TraceObserver::new())
        .layer(PerClientLayer::new(PerClient::new(100)))
        .layer(TlsLayer::from_pem_files(cert, key)?.timeout(Duration::from_secs(5)))
        // The broker ends idle clients itself, by their keep-alive.
        .layer(TimeoutsLayer::new().idle(None))
        .start(handle(serve))
        .await?;
    common::print(format_args!("listening on {}", server.local_addr()));

    common::drain_on(&server, signal, Duration::from_secs(10)).await?;
    Ok(())
}
