//! HTTP: poem.

use http_body_util::{BodyExt, combinators::BoxBody};
use hyper::{
    body::Bytes,
    http::{Request, Response, uri::Scheme},
};
use poem::{
    Addr, Endpoint, EndpointExt, RequestParts, Route, get, handler,
    web::{LocalAddr, RemoteAddr},
};
use reagent::{Server, ServerHandle};
use reagent_layers::{
    http::{HttpConnection, HttpLayer, RequestBody},
    timeout::TimeoutsLayer,
};
use std::{convert::Infallible, io, sync::Arc};

/// Starts a server that answers with the client's address.
///
/// # Errors
///
/// Returns the error of [`Server::start`].
pub async fn serve() -> Result<ServerHandle, reagent::Error> {
    let app = Arc::new(Route::new().at("/", get(whoami)).map_to_response());
    Server::bind("127.0.0.1:0")
        .max_connections(10_000)
        .layer(TimeoutsLayer::new().idle(None))
        .layer(HttpLayer::new())
        .start(tower::service_fn(move |request| {
            respond(app.clone(), request)
        }))
        .await
}

async fn respond(
    app: Arc<impl Endpoint>,
    request: Request<RequestBody>,
) -> Result<Response<BoxBody<Bytes, io::Error>>, Infallible> {
    let (head, body) = request.into_parts();
    let conn = head.extensions.get::<HttpConnection>();
    let peer = conn.and_then(|conn| conn.handle().peer_addr().socket_addr());
    let peer = RemoteAddr(peer.map_or(Addr::custom("unix", ""), Addr::from));
    let head = RequestParts::from((head, LocalAddr::default(), peer, Scheme::HTTP));
    let body = BodyExt::boxed(body.map_err(io::Error::other)).into();
    let request = poem::Request::from_parts(head, body);
    Ok(app.get_response(request).await.into())
}

#[handler]
fn whoami(peer: &RemoteAddr) -> String {
    peer.as_socket_addr().unwrap().to_string()
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
