//! RPC: tarpc.

use futures_util::StreamExt;
use reagent::{Connection, ConnectionHandle, Server, ServerHandle, handle};
use reagent_layers::timeout::TimeoutsLayer;
use std::convert::Infallible;
use tarpc::{
    context::Context,
    serde_transport,
    server::{BaseChannel, Channel},
    tokio_serde::formats::Json,
};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// A service of two methods.
#[tarpc::service]
pub trait Hello {
    /// Returns the client's address and the text.
    async fn hello(text: String) -> String;

    /// Returns once the server drains.
    async fn drained();
}

/// Starts a server of [`Hello`].
///
/// # Errors
///
/// Returns the error of [`Server::start`].
pub async fn serve() -> Result<ServerHandle, reagent::Error> {
    Server::bind("127.0.0.1:0")
        .max_connections(10_000)
        .layer(TimeoutsLayer::new())
        .start(handle(rpc))
        .await
}

async fn rpc(conn: Connection) -> Result<(), Infallible> {
    let server = HelloServer(conn.handle());
    let framed = Framed::new(conn.eof_on_drain(), LengthDelimitedCodec::new());
    let channel = BaseChannel::with_defaults(serde_transport::new(framed, Json::default()));
    let answers = channel.execute(server.serve());
    answers.for_each_concurrent(None, |answer| answer).await;
    Ok(())
}

#[derive(Clone)]
struct HelloServer(ConnectionHandle);

impl Hello for HelloServer {
    async fn hello(self, _: Context, text: String) -> String {
        format!("{}: {text}", self.0.peer_addr())
    }

    async fn drained(self, _: Context) {
        self.0.draining().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support;
    use std::net::SocketAddr;
    use tarpc::{
        client::{self, RpcError},
        context,
    };

    async fn connect(server: &ServerHandle) -> (HelloClient, SocketAddr) {
        let (stream, addr) = support::connect(server).await;
        let framed = Framed::new(stream, LengthDelimitedCodec::new());
        let transport = serde_transport::new(framed, Json::default());
        let client = HelloClient::new(client::Config::default(), transport).spawn();
        (client, addr)
    }

    #[tokio::test]
    async fn a_drain_ends_an_idle_client() {
        let server = serve().await.unwrap();
        let (client, addr) = connect(&server).await;
        let answer = client.hello(context::current(), "hello".into()).await;
        assert_eq!(answer.unwrap(), format!("{addr}: hello"));
        support::drain(&server).await;
        let after = client.hello(context::current(), "hello".into()).await;
        assert!(matches!(
            after,
            Err(RpcError::Shutdown | RpcError::Channel(_))
        ));
    }

    #[tokio::test]
    async fn a_drain_finishes_the_calls_in_flight() {
        let server = serve().await.unwrap();
        let (client, _) = connect(&server).await;
        let call = client.drained(context::current());
        let (answer, ()) = tokio::join!(call, support::drain_in_flight(&server));
        answer.unwrap();
    }
}
