//! The same server on reagent. An accept error is reported, and ends neither the acceptor nor any
//! session.

use super::client::serve;
use crate::common;
use reagent::{BoxError, Connection, Server, handle};
use reagent_layers::{timeout::TimeoutsLayer, trace::TraceObserver};
use std::time::Duration;

pub async fn run(listen: String, max_clients: usize) -> Result<(), BoxError> {
    let signal = common::signal()?;
    let server = Server::bind(listen)
        .options(common::keepalive)
        .max_connections(max_clients)
        .observe(TraceObserver::new())
        .layer(
            TimeoutsLayer::new()
                .first_byte(Duration::from_secs(5))
                .idle(None),
        )
        // In a drain, the client's input ends, and `serve` returns after the query in progress.
        .start(handle(|conn: Connection<_>| serve(conn.eof_on_drain())))
        .await?;
    common::print(format_args!("listening on {}", server.local_addr()));

    common::drain_on(&server, signal, Duration::from_secs(10)).await?;
    Ok(())
}
