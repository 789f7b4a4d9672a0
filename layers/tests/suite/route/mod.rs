//! `Router`: the choice of a route, refusals, and waiting for readiness.

mod choosing;
mod one_port;
mod readiness;

use crate::support::{Ends, LONG, Served};
use reagent::{
    Connection, ConnectionService, IoStream, Server, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{route::Router, sniff::SniffLayer};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The stream under the router in most tests.
type Sniffing = reagent_layers::PrefixedIo<reagent::BoxIo>;

/// A service that reads everything and sends its own name.
fn named<Io: IoStream>(name: &'static str) -> impl ConnectionService<Io> + Clone + Sync {
    handle(move |mut conn: Connection| async move {
        conn.read_to_end(&mut Vec::new()).await?;
        conn.write_all(name.as_bytes()).await?;
        conn.shutdown().await
    })
}

async fn start(router: Router<Sniffing>) -> (Served, Clients) {
    let (listener, clients) = MemoryListener::new();
    let ends = Ends::default();
    let server = Server::new(listener)
        .layer(SniffLayer::new())
        .observe(ends.clone());
    let server = server.start(router).await.unwrap();
    (Served { server, ends }, clients)
}

/// Returns the response to a client that sends this and ends.
async fn ask(clients: &Clients, said: impl AsRef<[u8]>) -> String {
    let mut client = clients.connect().await.unwrap();
    let mut answer = String::new();
    let exchange = async {
        client.write_all(said.as_ref()).await?;
        client.shutdown().await?;
        client.read_to_string(&mut answer).await?;
        io::Result::Ok(())
    };
    let exchange = tokio::time::timeout(LONG, exchange).await;
    exchange.expect("an answer").unwrap();
    answer
}
