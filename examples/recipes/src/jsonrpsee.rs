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

/// Starts a server whose method `peer` answers with the client's address.
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
