//! PROXY headers that describe a connection.

use super::places::{at, in_time};
use crate::{
    support::LONG,
    tls::pki::{BOTH, Ca, Dir, EACH},
};
use reagent::{BoxError, Connection, Server, handle};
use reagent_layers::{
    proxy_protocol::{Header, Parsed, ProxyProtocolLayer, Tlv, parse},
    tls::TlsLayer,
};
use std::{collections::HashSet, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

/// Sends the header of the connection, twice, after one byte of the client.
async fn describe(mut conn: Connection) -> Result<(), BoxError> {
    conn.read_u8().await?;
    for _ in 0..2 {
        let header = Header::of(&conn).encode()?;
        conn.write_all(&header).await?;
    }
    Ok(conn.shutdown().await?)
}

async fn received(mut io: impl AsyncReadExt + AsyncWriteExt + Unpin) -> Header {
    io.write_all(b"x").await.unwrap();
    let mut bytes = Vec::new();
    in_time(io.read_to_end(&mut bytes)).await.unwrap();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    assert_eq!(first, second, "the same each time");
    match parse(first) {
        Parsed::Done { header, .. } => header,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn addresses_and_a_unique_id_are_in_every_header() {
    let server = Server::bind("127.0.0.1:0")
        .start(handle(describe))
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let mut ids = HashSet::new();
    for _ in 0..10 {
        let client = TcpStream::connect(addr).await.unwrap();
        let from = client.local_addr().unwrap();
        let header = received(client).await;
        assert_eq!(header.source().unwrap(), from);
        assert_eq!(header.destination().unwrap(), addr);
        assert_eq!(header.ssl(), None);
        let id = header.unique_id().unwrap().to_vec();
        assert!(id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit));
        assert!(ids.insert(id), "no other connection has it");
        let line = header.into_v1().encode().unwrap();
        assert!(line.starts_with(b"PROXY TCP4 127.0.0.1 127.0.0.1 "));
    }
}

#[tokio::test]
async fn a_unix_client_has_the_path_of_the_server() {
    let dir = Dir::new();
    let path = dir.path("socket");
    let server = Server::bind(format!("unix:{}", path.display()));
    let _server = server.start(handle(describe)).await.unwrap();
    let header = received(UnixStream::connect(&path).await.unwrap()).await;
    assert_eq!(header.destination().unwrap().path(), Some(&*path));
    assert_eq!(header.into_v1().encode().unwrap(), b"PROXY UNKNOWN\r\n");
}

#[tokio::test]
async fn tls_is_described() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (cert, key) = ca.server(&["upstream.test"]).write(&dir, "server");
    let layer = TlsLayer::builder()
        .certificate(cert, key)
        .alpn(["h2"])
        .request_client_certificates(dir.write("ca.pem", ca.pem()))
        .build()
        .unwrap();
    let server = Server::bind("127.0.0.1:0").layer(layer);
    let server = server.start(handle(describe)).await.unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let connect = async |mut config: tokio_rustls::rustls::ClientConfig| {
        config.alpn_protocols = vec![b"h2".to_vec()];
        let client = TcpStream::connect(addr).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let name = "upstream.test".try_into().unwrap();
        received(in_time(connector.connect(name, client)).await.unwrap()).await
    };
    for (version, text) in EACH.into_iter().zip(["TLSv1.2", "TLSv1.3"]) {
        let header = connect(ca.believer(&[version])).await;
        assert_eq!(header.authority(), Some("upstream.test"));
        assert_eq!(header.alpn(), Some(&b"h2"[..]));
        let ssl = header.ssl().unwrap();
        assert!(ssl.is_tls() && !ssl.has_certificate() && !ssl.is_verified());
        assert_eq!(ssl.version.as_deref(), Some(text));
        let cipher = ssl.cipher.as_deref().unwrap();
        let expected = match text {
            "TLSv1.2" => "ECDHE-ECDSA-AES256-GCM-SHA384",
            _ => "TLS_AES_256_GCM_SHA384",
        };
        assert_eq!(cipher, expected);
    }
    let header = connect(ca.believer_with(&ca.client("alice"), BOTH)).await;
    let ssl = header.ssl().unwrap();
    assert!(ssl.is_verified() && ssl.has_certificate() && ssl.has_session_certificate());
    assert_eq!(ssl.common_name.as_deref(), Some("alice"));
}

#[tokio::test]
async fn of_a_header_in_front_the_addresses_and_the_unique_id_are_passed_on() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (cert, key) = ca.server(&["upstream.test"]).write(&dir, "server");
    let trusted = ProxyProtocolLayer::new(["127.0.0.0/8".parse().unwrap()]).timeout(LONG);
    let server = Server::bind("127.0.0.1:0")
        .layer(trusted)
        .layer(TlsLayer::from_pem_files(cert, key).unwrap())
        .start(handle(describe))
        .await
        .unwrap();
    let endpoint = |value: &[u8]| Tlv::Raw {
        kind: Tlv::AWS,
        value: value.to_vec(),
    };
    let sent = Header::v2(at(7, 7), at(8, 8))
        .tlv(Tlv::Authority("replaced.test".into()))
        .tlv(Tlv::UniqueId(b"from-afar".to_vec()))
        .tlv(endpoint(b"\x01vpce-1"))
        .checksum();
    let mut client = TcpStream::connect(server.local_addr().to_string())
        .await
        .unwrap();
    client.write_all(&sent.encode().unwrap()).await.unwrap();
    let connector = TlsConnector::from(Arc::new(ca.believer(BOTH)));
    let name = "upstream.test".try_into().unwrap();
    let header = received(in_time(connector.connect(name, client)).await.unwrap()).await;
    assert_eq!(header.source().unwrap(), at(7, 7));
    assert_eq!(header.destination().unwrap(), at(8, 8));
    assert_eq!(header.authority(), Some("upstream.test"), "of our own TLS");
    assert_eq!(header.unique_id(), Some(&b"from-afar"[..]));
    assert_eq!(header.raw(Tlv::AWS), None, "not known to this server");
}
