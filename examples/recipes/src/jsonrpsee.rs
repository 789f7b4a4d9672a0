//! JSON-RPC over HTTP and WebSockets: jsonrpsee.

use jsonrpsee::{
    RpcModule,
    server::{ServerConfig, stop_channel},
};
use reagent::{Server, ServerHandle, event::Event, observer_fn};
use reagent_layers::{
    http::{HttpConnection, HttpLayer},
    timeout::TimeoutsLayer,
};

/// Starts a server whose method `peer` answers with the client's address, and `drained` once the
/// server drains.
///
/// # Errors
///
/// Returns the error of [`Server::start`].
pub async fn serve() -> Result<ServerHandle, reagent::Error> {
    let (stop_handle, stop) = stop_channel();
    let config = ServerConfig::builder().max_connections(u32::MAX).build();
    let rpc = jsonrpsee::server::Server::builder()
        .set_config(config)
        .to_service_builder()
        .build(methods(), stop_handle);
    Server::bind("127.0.0.1:0")
        .max_connections(10_000)
        .observe(observer_fn(move |event| {
            if let Event::DrainStarted(_) = event {
                let _ = stop.stop();
            }
        }))
        .layer(TimeoutsLayer::new().idle(None))
        .layer(HttpLayer::new())
        .start(rpc)
        .await
}

fn methods() -> RpcModule<()> {
    let mut methods = RpcModule::new(());
    methods
        .register_method("peer", |_, (), extensions| {
            let conn = extensions.get::<HttpConnection>();
            conn.map(|conn| conn.handle().peer_addr().to_string())
        })
        .expect("the name is not taken");
    methods
        .register_async_method("drained", |_, _, extensions| async move {
            if let Some(conn) = extensions.get::<HttpConnection>() {
                conn.handle().draining().await;
            }
            "drained"
        })
        .expect("the name is not taken");
    methods
}

#[cfg(test)]
mod tests {
    use super::serve;
    use crate::support::{self, relay};
    use jsonrpsee::{
        core::client::ClientT, http_client::HttpClient, rpc_params, ws_client::WsClientBuilder,
    };

    #[tokio::test]
    async fn a_drain_closes_an_idle_websocket() {
        let server = serve().await.unwrap();
        let (stream, addr) = support::connect(&server).await;
        let client = WsClientBuilder::new()
            .build_with_stream("ws://localhost", stream)
            .await
            .unwrap();
        let peer: String = client.request("peer", rpc_params![]).await.unwrap();
        assert_eq!(peer, addr.to_string());
        tokio::join!(support::drain(&server), client.on_disconnect());
    }

    #[tokio::test]
    async fn a_drain_finishes_the_calls_in_flight_of_a_websocket() {
        let server = serve().await.unwrap();
        let (stream, _) = support::connect(&server).await;
        let client = WsClientBuilder::new()
            .build_with_stream("ws://localhost", stream)
            .await
            .unwrap();
        let call = client.request::<String, _>("drained", rpc_params![]);
        let (answer, ()) = tokio::join!(call, support::drain_in_flight(&server));
        assert_eq!(answer.unwrap(), "drained");
    }

    #[tokio::test]
    async fn a_drain_closes_an_idle_http_client() {
        let server = serve().await.unwrap();
        let (relay, addr) = relay(&server).await;
        let client = HttpClient::builder()
            .build(format!("http://{relay}"))
            .unwrap();
        let peer: String = client.request("peer", rpc_params![]).await.unwrap();
        assert_eq!(peer, addr.to_string());
        support::drain(&server).await;
    }
}
