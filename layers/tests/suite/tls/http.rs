//! HTTP over TLS: all limits of plain HTTP apply.

use super::{
    pki::{BOTH, Ca, Dir, EACH},
    running::{connect, in_time},
};
use crate::support::{Ends, LONG};
use axum::{Router, body::Body, http::StatusCode, routing::post};
use futures_util::StreamExt;
use reagent::{Server, testing::MemoryListener};
use reagent_layers::{http::HttpLayer, tls::TlsLayer};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsConnector;

const SECOND: Duration = Duration::from_secs(1);

fn tls(dir: &Dir, ca: &Ca, protocol: &str) -> TlsLayer {
    let (cert, key) = ca.server(&["localhost"]).write(dir, "localhost");
    let builder = TlsLayer::builder().certificate(cert, key);
    builder.alpn([protocol]).build().unwrap()
}

/// On a real socket, where closing with unread bytes resets the connection.
#[tokio::test]
async fn a_client_that_uploads_slowly_gets_its_answer() {
    let router = Router::new()
        .route(
            "/small",
            post(|body: Body| async {
                body.into_data_stream().next().await;
                (StatusCode::PAYLOAD_TOO_LARGE, "too large")
            }),
        )
        .route("/refuse", post(|| async { StatusCode::UNAUTHORIZED }));
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let server = Server::bind("127.0.0.1:0")
        .layer(tls(&dir, &ca, "http/1.1"))
        .layer(HttpLayer::new())
        .start(router)
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    for version in EACH {
        let connector = TlsConnector::from(Arc::new(ca.believer(&[version])));
        for (path, status) in [("/small", "413"), ("/refuse", "401")] {
            let stream = TcpStream::connect(addr).await.unwrap();
            let name = "localhost".try_into().unwrap();
            let mut client = connector.connect(name, stream).await.unwrap();
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5000000\r\n\r\n"
            );
            client.write_all(head.as_bytes()).await.unwrap();
            for _ in 0..20 {
                let sent = async {
                    client.write_all(&[b'x'; 1024]).await?;
                    client.flush().await
                };
                sent.await.expect("no reset while it uploads");
                sleep(Duration::from_millis(20)).await;
            }
            let mut answer = String::new();
            timeout(LONG, client.read_to_string(&mut answer))
                .await
                .expect("an end in time")
                .expect("a close_notify");
            let expected = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&expected), "{version:?}: {answer}");
            assert!(answer.contains("connection: close"), "{answer}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_preface_is_bounded_by_the_first_byte_and_by_a_drain() {
    let whole = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let mut config = ca.believer(BOTH);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    for part in ["P", &whole[..12], whole] {
        for is_drained in [false, true] {
            let (listener, clients) = MemoryListener::new();
            let ends = Ends::default();
            let server = Server::new(listener)
                .observe(ends.clone())
                .layer(tls(&dir, &ca, "h2"))
                .layer(HttpLayer::new().first_byte_timeout(5 * SECOND))
                .start(Router::new())
                .await
                .unwrap();
            let mut client = connect(&clients, &config, "localhost").await.unwrap();
            assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            client.write_all(part.as_bytes()).await.unwrap();
            client.flush().await.unwrap();
            let began = Instant::now();
            if is_drained {
                sleep(SECOND / 2).await;
                let report = in_time(server.drain(60 * SECOND)).await;
                assert_eq!(report.aborted, 0, "{part:?}");
                assert!(report.elapsed <= SECOND, "{part:?}: {:?}", report.elapsed);
            } else {
                let end = ends.of(1).await.to_string();
                assert!(end.starts_with("timed out: "), "{part:?}: {end}");
                assert_eq!(began.elapsed().as_secs(), 5, "{part:?}");
            }
        }
    }
}
