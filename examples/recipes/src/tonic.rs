//! gRPC: tonic.

use reagent::{Server, ServerHandle};
use reagent_layers::{http::HttpLayer, timeout::TimeoutsLayer};
use std::pin::Pin;
use tonic::{Request, Response, Status, transport::server::TcpConnectInfo};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};

/// Starts a health service that puts the client's address into the metadata of its answers.
///
/// # Errors
///
/// Returns the error of [`Server::start`].
pub async fn serve() -> Result<ServerHandle, reagent::Error> {
    let connect_info = |addr| TcpConnectInfo {
        local_addr: None,
        remote_addr: Some(addr),
    };
    Server::bind("127.0.0.1:0")
        .max_connections(10_000)
        .layer(TimeoutsLayer::new().idle(None))
        .layer(HttpLayer::new().http2_only().connect_info(connect_info))
        .start(HealthServer::new(Healthy))
        .await
}

struct Healthy;

type Answer = Result<Response<HealthCheckResponse>, Status>;
type Answers<T> = Pin<Box<dyn futures_util::Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Health for Healthy {
    type WatchStream = Answers<HealthCheckResponse>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Answer {
        let peer = request.remote_addr().map(|peer| peer.to_string());
        let mut response = Response::new(HealthCheckResponse {
            status: ServingStatus::Serving.into(),
        });
        let peer = peer
            .unwrap_or_default()
            .parse()
            .expect("an address is ASCII");
        response.metadata_mut().insert("peer", peer);
        Ok(response)
    }

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("only check"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support;
    use hyper_util::rt::TokioIo;
    use std::io;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tonic::transport::Endpoint;
    use tonic_health::pb::health_client::HealthClient;

    #[tokio::test]
    async fn a_channel_calls_and_a_drain_finishes_it() {
        let server = serve().await.unwrap();
        let (stream, addr) = support::connect(&server).await;
        let mut stream = Some(TokioIo::new(stream));
        let connector = tower::service_fn(move |_| {
            let stream = stream.take().ok_or(io::ErrorKind::ConnectionRefused);
            async { stream.map_err(io::Error::from) }
        });
        let channel = Endpoint::from_static("http://localhost")
            .connect_with_connector(connector)
            .await
            .unwrap();
        let mut client = HealthClient::new(channel);
        let answer = client.check(HealthCheckRequest::default()).await.unwrap();
        let peer = answer.metadata().get("peer").unwrap();
        assert_eq!(peer, addr.to_string().as_str());
        support::drain(&server).await;
    }

    #[tokio::test]
    async fn a_drain_is_announced_by_goaway() {
        let server = serve().await.unwrap();
        let (mut stream, _) = support::connect(&server).await;
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        stream
            .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
            .await
            .unwrap(); // SETTINGS
        let goaway = async {
            loop {
                let mut head = [0; 9];
                stream.read_exact(&mut head).await.unwrap();
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                let mut payload = vec![0; length as usize];
                stream.read_exact(&mut payload).await.unwrap();
                if head[3] == 7 {
                    return drop(stream);
                }
            }
        };
        tokio::join!(support::drain(&server), goaway);
    }
}
