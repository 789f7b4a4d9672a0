//! One deadline for a PROXY header, a handshake and the first request together.

use crate::support::{Ends, Served};
use reagent::{Connection, Server, handle, testing::MemoryListener};
use reagent_layers::{
    Network,
    http::HttpLayer,
    proxy_protocol::{Mode, ProxyProtocolLayer},
    timeout::TimeoutsLayer,
};
use std::{convert::Infallible, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};
use tower::service_fn;

const SECOND: Duration = Duration::from_secs(1);

fn proxy() -> (ProxyProtocolLayer, SocketAddr) {
    let net = "192.0.2.0/24".parse::<Network>().unwrap();
    let layer = ProxyProtocolLayer::new([net]).mode(Mode::Required);
    (layer, "192.0.2.1:1".parse().unwrap())
}

/// Returns the outcome, and the seconds until then, of a client that sends these parts at intervals
/// of 4 seconds.
async fn end(served: &Served, client: impl AsyncWriteExt + Unpin, parts: &[&str]) -> (String, u64) {
    let began = Instant::now();
    let mut client = client;
    let speak = async {
        for part in parts {
            sleep(4 * SECOND).await;
            // The caller checks the outcome if the connection was closed.
            let _ = client.write_all(part.as_bytes()).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        outcome = served.ends.of(1) => (outcome.to_string(), began.elapsed().as_secs()),
        () = speak => unreachable!("it never ends"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_has_what_the_header_before_it_has_left() {
    let (proxy, from) = proxy();
    let (listener, clients) = MemoryListener::new();
    let ends = Ends::default();
    let served = async |_: http::Request<_>| {
        Ok::<_, Infallible>(http::Response::new(http_body_util::Empty::<&[u8]>::new()))
    };
    let server = Server::new(listener)
        .observe(ends.clone())
        .layer(proxy)
        .layer(TimeoutsLayer::new())
        .layer(HttpLayer::new())
        .start(service_fn(served))
        .await
        .unwrap();
    let served = Served { server, ends };
    let client = clients.connect_from(from).await.unwrap();
    let mut parts = vec![
        "PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n",
        "GET / HTTP/1.1\r\n",
    ];
    parts.extend(["a: b\r\n"; 20]);
    let ended = end(&served, client, &parts).await;
    assert_eq!(ended, ("timed out: http header".to_owned(), 30));
}

#[tokio::test(start_paused = true)]
async fn a_first_byte_has_what_the_header_before_it_has_left() {
    let (proxy, from) = proxy();
    let (listener, clients) = MemoryListener::new();
    let ends = Ends::default();
    let server = Server::new(listener)
        .observe(ends.clone())
        .layer(proxy)
        .layer(TimeoutsLayer::new())
        .start(handle(|mut conn: Connection| async move {
            conn.read_u8().await.map(drop)
        }))
        .await
        .unwrap();
    let served = Served { server, ends };
    let client = clients.connect_from(from).await.unwrap();
    let ended = end(&served, client, &["PROXY UNKNOWN\r\n"]).await;
    assert_eq!(ended, ("timed out: first byte".to_owned(), 30));
}
