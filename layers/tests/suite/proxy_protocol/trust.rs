//! Whose header is believed.

use super::{V1, addr, proxy, start, tells, trusting};
use crate::support::echo;
use reagent::{Server, handle};
use reagent_layers::proxy_protocol::{Mode, ProxyProtocolLayer, Untrusted};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const STRANGER: &str = "198.51.100.9:5000";

#[tokio::test]
async fn a_stranger_is_refused_with_or_without_a_header() {
    for mode in [Mode::Required, Mode::Optional] {
        for bytes in [V1, b"hello"] {
            let (_server, clients, mut ends) = start(trusting().mode(mode)).await;
            let mut client = clients.connect_from(addr(STRANGER)).await.unwrap();
            // It may be gone by now.
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
async fn a_stranger_who_is_served_does_not_wait() {
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
    // The client that the header names could be a proxy; the header of a second one is payload.
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
