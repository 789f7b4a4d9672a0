//! HTTP: axum.

use axum::{Router, extract::ConnectInfo, routing::get};
use reagent::{Server, ServerHandle};
use reagent_layers::{http::HttpLayer, timeout::TimeoutsLayer};
use std::net::SocketAddr;

/// Starts a server that answers with the client's address.
///
/// # Errors
///
/// Returns the error of [`Server::start`].
pub async fn serve() -> Result<ServerHandle, reagent::Error> {
    let app = Router::new().route("/", get(peer));
    Server::bind("127.0.0.1:0")
        .max_connections(10_000)
        .layer(TimeoutsLayer::new().idle(None))
        .layer(HttpLayer::new().connect_info(ConnectInfo))
        .start(app)
        .await
}

async fn peer(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> String {
    peer.to_string()
}

#[cfg(test)]
mod tests {
    use super::serve;
    use crate::support::{self, HttpClient};

    #[tokio::test]
    async fn a_drain_closes_an_idle_client() {
        let server = serve().await.unwrap();
        let (mut client, addr) = HttpClient::connect(&server).await;
        assert_eq!(client.get("/").await, addr.to_string());
        tokio::join!(support::drain(&server), client.closed());
    }
}
