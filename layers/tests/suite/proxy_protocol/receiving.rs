//! The effects of a header in a server.

use super::{Ends, SIGNATURE, V1, addr, answer, proxy, start, tell, tells, trusting, v2};
use crate::support::{echo, echoes, outcome};
use reagent::{
    Addr, BoxError, Connection, IoStream, Outcome, Server, Upgrade, UpgradeLayer, handle,
};
use reagent_layers::proxy_protocol::{
    Header, Mode, PrefixedIo, ProxyInfo, ProxyProtocolLayer, Tlv,
};
use std::{error::Error, io, path::Path};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CLIENT: &str = "192.0.2.1:56324 via 10.0.0.7:40000 to 192.0.2.11:443, header";
const NOBODY: &str = "10.0.0.7:40000 via 10.0.0.7:40000 to listener, header";

#[tokio::test]
async fn every_header_with_and_without_payload_whole_and_in_pieces() {
    let tlvs = v2().tlv(Tlv::Alpn(b"h2".to_vec())).checksum().pad_to(1000);
    for (header, expected) in [
        (V1.to_vec(), format!("{CLIENT} v1 Proxy")),
        (b"PROXY UNKNOWN\r\n".to_vec(), format!("{NOBODY} v1 Proxy")),
        (
            b"PROXY UNKNOWN ff x\r\n".to_vec(),
            format!("{NOBODY} v1 Proxy"),
        ),
        (v2().encode().unwrap(), format!("{CLIENT} v2 Proxy")),
        (
            v2().datagram().encode().unwrap(),
            format!("{CLIENT} v2 Proxy"),
        ),
        (tlvs.encode().unwrap(), format!("{CLIENT} v2 Proxy")),
        (
            Header::v2_unknown().encode().unwrap(),
            format!("{NOBODY} v2 Proxy"),
        ),
        (
            Header::v2_local().encode().unwrap(),
            format!("{NOBODY} v2 Local"),
        ),
    ] {
        for payload in ["", "x", "PROXY TCP4 payload\r\n\r\n"] {
            let bytes = [&header, payload.as_bytes()].concat();
            let expected = format!("{expected}: {}", payload.as_bytes().escape_ascii());
            for mode in [Mode::Required, Mode::Optional] {
                let layer = trusting().mode(mode);
                assert_eq!(tells(layer, proxy(), &bytes).await, expected);
            }
            let (_server, clients, _ends) = start(trusting()).await;
            let mut client = clients.connect_from(proxy()).await.unwrap();
            for byte in bytes {
                client.write_all(&[byte]).await.unwrap();
                // Lets the server read this byte before the next is sent.
                tokio::task::yield_now().await;
            }
            assert_eq!(answer(client).await, expected);
        }
    }
}

#[tokio::test]
async fn a_payload_longer_than_the_first_read_comes_whole() {
    let payload = "0123456789".repeat(5000);
    let bytes = [V1, payload.as_bytes()].concat();
    let answer = tells(trusting(), proxy(), &bytes).await;
    assert_eq!(answer, format!("{CLIENT} v1 Proxy: {payload}"));
}

#[tokio::test]
async fn unix_addresses_of_a_header_are_taken() {
    let unix = |path: &str| Addr::Unix(Some(Path::new(path).into()));
    let header = Header::v2(unix("@client"), unix("/run/proxy.sock"));
    assert_eq!(
        tells(trusting(), proxy(), &header.encode().unwrap()).await,
        "unix:@client via 10.0.0.7:40000 to unix:/run/proxy.sock, header v2 Proxy: "
    );
}

#[tokio::test]
async fn the_client_it_names_is_seen_from_outside_and_the_header_by_the_handler() {
    let (listener, clients) = reagent::testing::MemoryListener::new();
    let server = Server::new(listener)
        .layer(trusting())
        .start(handle(|conn: Connection| async move {
            let info = conn.extensions().get::<ProxyInfo>().expect("a header");
            assert_eq!(info.source(), Some(addr("192.0.2.1:56324").into()));
            assert_eq!(info.destination(), Some(addr("192.0.2.11:443").into()));
            assert_eq!(info.authority(), Some("example.com"));
            // The header can be forwarded.
            assert!(info.encode().unwrap().starts_with(SIGNATURE));
            echo(conn).await
        }))
        .await
        .unwrap();
    let mut client = clients.connect_from(proxy()).await.unwrap();
    let header = v2().tlv(Tlv::Authority("example.com".into())).checksum();
    client.write_all(&header.encode().unwrap()).await.unwrap();
    assert!(echoes(&mut client, "hello").await);

    let connections = server.connections();
    assert_eq!(connections.len(), 1);
    assert_eq!(connections[0].peer_addr, addr("192.0.2.1:56324"));
    assert_eq!(connections[0].socket_addr, proxy());
    drop(client);
    assert!(matches!(outcome(&server, 1).await, Outcome::Completed));
}

#[tokio::test]
async fn without_a_header_that_is_required_it_ends() {
    for (bytes, expected) in [
        (&b"GET / HTTP/1.1\r\n"[..], "got \"GET / HTTP/1.1\\r\\n\""),
        (b"PROXY TCP4 nonsense 192.0.2.1 1 2\r\n", "an IPv4 address"),
        (
            b"PROXY TCP4 192.0.2.1",
            "the end of the stream after \"PROXY TCP4 192.0.2.1\"",
        ),
        (b"PRO", "the end of the stream after \"PRO\""),
        (&V1[..V1.len() - 1], "the end of the stream"),
        (&SIGNATURE[..12], "the end of the stream"),
    ] {
        let (_server, clients, mut ends) = start(trusting()).await;
        let mut client = clients.connect_from(proxy()).await.unwrap();
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let error = ends.failed().await;
        assert!(error.contains(expected), "{error}");
        assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
    }
}

#[tokio::test]
async fn a_long_header_is_refused_before_it_is_read() {
    let long = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat();
    for (bytes, max) in [
        (v2().pad_to(4097).encode().unwrap(), 4096),
        (long, 4096),
        (v2().pad_to(101).encode().unwrap(), 100),
    ] {
        let (_server, clients, mut ends) = start(trusting().max_len(max)).await;
        let mut client = clients.connect_from(proxy()).await.unwrap();
        client.write_all(&bytes).await.unwrap();
        match ends.next().await {
            (Outcome::Failed(error), bytes_read) => {
                let error = error.to_string();
                assert!(error.contains(&format!("at most {max} bytes")), "{error}");
                assert!(bytes_read <= 536, "{bytes_read}");
            }
            (other, _) => panic!("{other}"),
        }
    }
    let fits = v2().pad_to(4096).encode().unwrap();
    let answer = tells(trusting(), proxy(), &fits).await;
    assert_eq!(answer, format!("{CLIENT} v2 Proxy: "));
}

#[tokio::test]
async fn an_empty_connection_is_a_health_check() {
    let (_server, clients, mut ends) = start(trusting()).await;
    drop(clients.connect_from(proxy()).await.unwrap());
    assert_eq!(ends.rejected().await, "health check");
}

#[tokio::test]
async fn a_reset_before_the_first_byte_is_a_health_check() {
    for mode in [Mode::Required, Mode::Optional] {
        let (seen, mut ends) = Ends::new();
        let server = Server::bind("127.0.0.1:0")
            .layer(ProxyProtocolLayer::new([]).trust_all().mode(mode))
            .observe(seen)
            .start(handle(echo))
            .await
            .unwrap();
        let client = tokio::net::TcpStream::connect(server.local_addr().socket_addr().unwrap());
        let client = client.await.unwrap();
        // A reset before the accept would remove the connection from the queue.
        while server.connection_count() == 0 {
            tokio::task::yield_now().await;
        }
        client.set_zero_linger().unwrap();
        drop(client);
        assert_eq!(ends.rejected().await, "health check");
    }
}

#[tokio::test]
async fn a_local_connection_is_served_and_labelled() {
    let (listener, clients) = reagent::testing::MemoryListener::new();
    let server = Server::new(listener).layer(trusting());
    let server = server.start(handle(echo)).await.unwrap();
    let mut client = clients.connect_from(proxy()).await.unwrap();
    let header = Header::v2_local().encode().unwrap();
    client.write_all(&header).await.unwrap();
    assert!(echoes(&mut client, "are you there").await);
    let info = &server.connections()[0];
    assert_eq!(info.peer_addr, proxy());
    assert_eq!(info.labels, [("proxy", "local".to_owned())]);
}

#[tokio::test]
async fn vectored_writes_flush_and_shutdown_go_through() {
    let (seen, mut ends) = Ends::new();
    let server = Server::bind("127.0.0.1:0")
        .layer(ProxyProtocolLayer::new([]).trust_all())
        .observe(seen)
        .start(handle(|mut conn: Connection| async move {
            assert!(tokio::io::AsyncWrite::is_write_vectored(&conn));
            let bufs = [io::IoSlice::new(b"he"), io::IoSlice::new(b"llo")];
            assert_eq!(conn.write_vectored(&bufs).await?, 5);
            conn.flush().await?;
            conn.shutdown().await?;
            // The payload is still readable after that.
            assert_eq!(conn.read_u8().await?, b'x');
            io::Result::Ok(())
        }))
        .await
        .unwrap();
    let socket = server.local_addr().socket_addr().unwrap();
    let mut client = tokio::net::TcpStream::connect(socket).await.unwrap();
    client.write_all(&[V1, b"x"].concat()).await.unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello");
    assert!(matches!(ends.next().await, (Outcome::Completed, _)));
}

#[tokio::test]
async fn it_names_the_address_where_a_layer_outside_has_wrapped_a_wildcard_socket() {
    struct Wrap;

    impl<Io: IoStream> Upgrade<Io> for Wrap {
        type Io = PrefixedIo<Io>;

        async fn upgrade(
            &self,
            conn: Connection<Io>,
        ) -> Result<Connection<PrefixedIo<Io>>, BoxError> {
            Ok(conn.map_io(|io| PrefixedIo::new(io, Vec::new())))
        }
    }

    let server = Server::bind("0.0.0.0:0")
        .layer(UpgradeLayer::new(Wrap))
        .layer(ProxyProtocolLayer::new([]).trust_all())
        .start(handle(tell))
        .await
        .unwrap();
    let port = server.local_addr().port().unwrap();
    for (header, expected) in [
        (V1, "192.0.2.11:443".to_owned()),
        (b"PROXY UNKNOWN\r\n", format!("127.0.0.1:{port}")),
    ] {
        let client = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
        let mut client = client.unwrap();
        client.write_all(header).await.unwrap();
        client.shutdown().await.unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert!(text.contains(&format!(" to {expected},")), "{text}");
    }
}

#[test]
fn errors_are_errors() {
    fn is_error<T: Error + Send + Sync + 'static>() {}
    is_error::<reagent_layers::proxy_protocol::ProxyProtocolError>();
    is_error::<reagent_layers::proxy_protocol::EncodeError>();
}
