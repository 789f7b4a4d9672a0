//! Trusted and untrusted senders of headers.

use super::{V1, addr, proxy, start, tells, trusting};
use crate::support::echo;
use reagent::{Observer, Server, event, handle};
use reagent_layers::proxy_protocol::{Mode, ProxyProtocolLayer, Tlv, Untrusted};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const STRANGER: &str = "198.51.100.9:5000";

#[tokio::test]
async fn a_stranger_is_refused_with_or_without_a_header() {
    for mode in [Mode::Required, Mode::Optional] {
        for bytes in [V1, b"hello"] {
            let (_server, clients, mut ends) = start(trusting().mode(mode)).await;
            let mut client = clients.connect_from(addr(STRANGER)).await.unwrap();
            // The connection may already be closed.
            let _ = client.write_all(bytes).await;
            assert_eq!(ends.rejected().await, "proxy protocol");
        }
    }
}

#[tokio::test]
async fn a_stranger_cannot_forge_where_strangers_are_served() {
    for mode in [Mode::Required, Mode::Optional] {
        let layer = trusting().mode(mode).untrusted(Untrusted::PassThrough);
        assert_eq!(
            tells(layer, addr(STRANGER), V1).await,
            format!(
                "{STRANGER} via {STRANGER} to listener, header none: {}",
                V1.escape_ascii()
            )
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_untrusted_client_that_is_served_does_not_wait() {
    let (listener, clients) = reagent::testing::MemoryListener::new();
    let layer = trusting().untrusted(Untrusted::PassThrough);
    let began = tokio::time::Instant::now();
    let _server = Server::new(listener)
        .layer(layer)
        .start(handle(|mut conn: reagent::Connection| async move {
            conn.write_all(b"220 ready").await
        }))
        .await
        .unwrap();
    let mut client = clients.connect_from(addr(STRANGER)).await.unwrap();
    let mut banner = String::new();
    client.read_to_string(&mut banner).await.unwrap();
    assert_eq!((&*banner, began.elapsed().as_secs()), ("220 ready", 0));
}

#[tokio::test]
async fn a_header_does_not_make_its_client_trusted() {
    // Even if the client in the header is a trusted proxy, a second header is payload.
    let twice = [b"PROXY TCP4 10.0.0.8 10.0.0.9 1 2\r\n", V1].concat();
    assert_eq!(
        tells(trusting(), proxy(), &twice).await,
        format!(
            "10.0.0.8:1 via 10.0.0.7:40000 to 10.0.0.9:2, header v1 Proxy: {}",
            V1.escape_ascii()
        )
    );
}

#[tokio::test]
async fn off_is_off() {
    assert_eq!(
        tells(trusting().mode(Mode::Off), addr(STRANGER), V1).await,
        format!(
            "{STRANGER} via {STRANGER} to listener, header none: {}",
            V1.escape_ascii()
        )
    );
}

/// Records upgrades and labels.
#[derive(Clone, Debug, Default)]
struct Told(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

impl Observer for Told {
    fn connection_upgraded(&self, event: &event::ConnectionUpgraded<'_>) {
        self.0.lock().unwrap().push(event.upgrade.to_owned());
    }

    fn connection_labelled(&self, event: &event::ConnectionLabelled<'_>) {
        let label = format!("{}={}", event.key, event.value);
        self.0.lock().unwrap().push(label);
    }
}

/// Returns the events of a connection from this address that sends these bytes.
async fn told(layer: ProxyProtocolLayer, from: &str, bytes: &[u8]) -> Vec<String> {
    let (listener, clients) = reagent::testing::MemoryListener::new();
    let told = Told::default();
    let server = Server::new(listener)
        .layer(layer)
        .observe(told.clone())
        .start(handle(super::tell))
        .await
        .unwrap();
    let mut client = clients.connect_from(addr(from)).await.unwrap();
    let _ = client.write_all(bytes).await;
    let _ = super::answer(client).await;
    server.drain(crate::support::LONG).await;
    let told = told.0.lock().unwrap();
    told.clone()
}

#[tokio::test]
async fn a_connection_of_which_no_header_is_expected_is_no_upgrade() {
    let off = trusting().mode(Mode::Off);
    let passing = trusting().untrusted(Untrusted::PassThrough);
    assert!(told(off, "10.0.0.7:1", V1).await.is_empty());
    assert!(told(passing, STRANGER, V1).await.is_empty());
    assert_eq!(told(trusting(), "10.0.0.7:1", V1).await, ["proxy protocol"]);
}

#[tokio::test]
async fn a_refused_or_wrong_header_is_labelled_by_one_word() {
    let checksum = {
        let mut bytes = super::v2().checksum().encode().unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    for (from, bytes, word) in [
        (STRANGER, V1, "untrusted_proxy"),
        ("10.0.0.7:1", b"GET / HTTP/1.1\r\n", "proxy_header_missing"),
        (
            "10.0.0.7:1",
            b"PROXY TCP5 a b 1 2\r\n",
            "proxy_header_malformed",
        ),
        ("10.0.0.7:1", &[b'P'; 1], "proxy_header_truncated"),
        (
            "10.0.0.7:1",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
            "proxy_header_too_long",
        ),
        ("10.0.0.7:1", &checksum, "proxy_header_checksum"),
    ] {
        assert_eq!(
            told(trusting(), from, bytes).await,
            [format!("error.type={word}")]
        );
    }
}

#[tokio::test]
async fn the_name_that_the_client_wants_is_a_label() {
    let header = super::v2().tlv(Tlv::Authority("example.com".into()));
    let bytes = header.encode().unwrap();
    assert_eq!(
        told(trusting(), "10.0.0.7:1", &bytes).await,
        ["server.address=example.com", "proxy protocol"]
    );
}

#[tokio::test]
async fn a_single_address_is_trusted_by_itself() {
    let layer = || ProxyProtocolLayer::new(["10.0.0.7".parse().unwrap()]);
    let answer = tells(layer(), proxy(), V1).await;
    assert!(answer.starts_with("192.0.2.1:56324 via"), "{answer}");
    let told = told(layer(), "10.0.0.8:1", V1).await;
    assert_eq!(told, ["error.type=untrusted_proxy"]);
}

#[tokio::test]
async fn everybody_is_trusted_where_that_is_said() {
    let layer = ProxyProtocolLayer::new([]).trust_all();
    assert_eq!(
        tells(layer, addr(STRANGER), V1).await,
        format!("192.0.2.1:56324 via {STRANGER} to 192.0.2.11:443, header v1 Proxy: ")
    );
}

#[cfg(unix)]
#[tokio::test]
async fn clients_of_a_unix_socket_are_trusted_where_that_is_said() {
    let dir = std::env::temp_dir().join(format!("proxy-protocol-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("app.sock");
    for is_trusted in [false, true] {
        let layer = match is_trusted {
            true => ProxyProtocolLayer::new([]).trust_unix(),
            false => ProxyProtocolLayer::new([]),
        };
        let server = Server::bind(format!("unix:{}", path.display()))
            .layer(layer)
            .start(handle(echo))
            .await
            .unwrap();
        let mut client = tokio::net::UnixStream::connect(&path).await.unwrap();
        let mut first = [0];
        let _ = client.write_all(&[V1, b"x"].concat()).await;
        let got = client.read(&mut first).await;
        assert_eq!(matches!(got, Ok(1)), is_trusted);
        if is_trusted {
            let info = server.connections();
            assert_eq!(info[0].peer_addr, addr("192.0.2.1:56324"));
        }
        drop(client);
        server.drain(crate::support::LONG).await;
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
