//! HTTP: warp.

use reagent::{Server, ServerHandle};
use reagent_layers::{
    http::{HttpConnection, HttpLayer},
    timeout::TimeoutsLayer,
};
use warp::Filter;

/// Starts a server that answers with the client's address.
///
/// # Errors
///
/// Returns the error of [`Server::start`].
pub async fn serve() -> Result<ServerHandle, reagent::Error> {
    let peer = warp::path::end()
        .and(warp::ext::get())
        .map(|conn: HttpConnection| conn.handle().peer_addr().to_string());
    Server::bind("127.0.0.1:0")
        .max_connections(10_000)
        .layer(TimeoutsLayer::new().idle(None))
        .layer(HttpLayer::new())
        .start(warp::service(peer))
        .await
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
