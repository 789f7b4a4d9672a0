//! Silent clients do not delay a drain, whatever upgrade they are in.

use crate::{
    support::{Ends, echo},
    tls::pki::{Ca, Dir},
};
use reagent::{
    Connection, OutcomeKind, Server, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{proxy_protocol::ProxyProtocolLayer, sniff::SniffLayer, tls::TlsLayer};
use std::time::Duration;
use tokio::{io::AsyncWriteExt, time::sleep};
use tower::layer::util::Identity;

const DEADLINE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

fn tls() -> TlsLayer {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (cert, key) = ca.server(&["localhost"]).write(&dir, "localhost");
    TlsLayer::from_pem_files(cert, key).unwrap()
}

fn memory() -> (Server, Clients, Ends) {
    let (listener, clients) = MemoryListener::new();
    let ends = Ends::default();
    (Server::new(listener).observe(ends.clone()), clients, ends)
}

/// Drains these layers with a client that has sent `bytes`. Returns the outcome and the time.
macro_rules! drained {
    ($bytes:expr, $($layer:expr),+) => {{
        let (server, clients, ends) = memory();
        let server = server$(.layer($layer))+.layer(Identity::new()).start(handle(echo)).await.unwrap();
        let mut client = clients.connect().await.unwrap();
        client.write_all($bytes).await.unwrap();
        sleep(SECOND).await;
        let report = server.drain(DEADLINE).await;
        assert_eq!(report.aborted, 0);
        (ends.of(1).await.to_string(), report.elapsed)
    }};
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_sent_nothing_is_let_go_within_a_second() {
    let proxies = || ProxyProtocolLayer::new([]).trust_all();
    for (outcome, took) in [
        drained!(b"", tls()),
        drained!(b"", proxies()),
        drained!(b"", SniffLayer::new()),
        drained!(b"", proxies(), SniffLayer::new(), tls()),
        // Between two upgrades.
        drained!(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", proxies(), tls()),
    ] {
        assert_eq!(outcome, OutcomeKind::Drained.as_str());
        assert!(took <= SECOND, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_begun_has_the_time_that_its_layer_gives() {
    let proxies = ProxyProtocolLayer::new([]).trust_all();
    for (outcome, took) in [
        drained!(b"\x16\x03\x01", tls()),
        drained!(b"PROXY ", proxies),
        drained!(b"\x16\x03\x01", SniffLayer::new()),
    ] {
        assert!(outcome.starts_with("timed out: "), "{outcome}");
        assert!(took > 3 * SECOND, "{took:?}");
    }
}

/// A handler is not an upgrade: it is notified of a drain, and decides for itself.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_through_is_its_handlers() {
    let (server, clients, ends) = memory();
    let slow = |conn: Connection| async move {
        conn.draining().await;
        sleep(5 * SECOND).await;
        std::io::Result::Ok(())
    };
    let server = server
        .layer(SniffLayer::new())
        .start(handle(slow))
        .await
        .unwrap();
    let mut client = clients.connect().await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    sleep(SECOND).await;
    assert!(server.drain(DEADLINE).await.elapsed >= 5 * SECOND);
    assert_eq!(ends.of(1).await.to_string(), "drained");
}
