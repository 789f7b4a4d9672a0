//! A relay to what was connected to.

use super::places::{at, in_time, name, to};
use crate::{
    relay::{failed_side, reset},
    support::{Ends, Served},
    tls::pki::{Ca, Dir},
};
use reagent::{BoxError, Connection, Outcome, Server, handle};
use reagent_layers::{
    connect::{Connect, TlsClient},
    relay::{PlainSocket, RelayError, Resettable, relay},
};
use std::{io::ErrorKind, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};
use tower::ServiceExt;

/// A proxy with an upstream that speaks TLS.
struct Proxy {
    served: Served,
    upstream: TcpListener,
    acceptor: TlsAcceptor,
    connector: Connect,
    _dir: Dir,
}

impl Proxy {
    async fn start(requires_close_notify: bool) -> Self {
        let (dir, ca) = (Dir::new(), Ca::new("ca"));
        let made = ca.server(&["upstream.test"]);
        let config = ServerConfig::builder_with_provider(Arc::new(
            tokio_rustls::rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.clone()], made.key_der())
        .unwrap();
        let upstream = TcpListener::bind(at(1, 0)).await.unwrap();
        let port = upstream.local_addr().unwrap().port();
        let tls = TlsClient::builder()
            .authorities(dir.write("ca.pem", ca.pem()))
            .require_close_notify(requires_close_notify)
            .build()
            .unwrap();
        let connector = to([at(1, port)]).tls(tls);
        let (ends, forwarding) = (Ends::default(), connector.clone());
        let server = Server::bind("127.0.0.1:0")
            .observe(ends.clone())
            .start(handle(move |conn| forward(conn, forwarding.clone(), port)))
            .await
            .unwrap();
        Proxy {
            served: Served { server, ends },
            upstream,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            connector,
            _dir: dir,
        }
    }

    /// Returns a client and its upstream, after an exchange in both directions.
    async fn pair(&self) -> (TcpStream, TlsStream<TcpStream>) {
        let addr = self.served.local_addr().socket_addr().unwrap();
        let mut client = TcpStream::connect(addr).await.unwrap();
        let (upstream, _) = in_time(self.upstream.accept()).await.unwrap();
        let mut upstream = in_time(self.acceptor.accept(upstream)).await.unwrap();
        client.write_all(b"ping").await.unwrap();
        in_time(upstream.read_exact(&mut [0; 4])).await.unwrap();
        upstream.write_all(b"pong").await.unwrap();
        upstream.flush().await.unwrap();
        in_time(client.read_exact(&mut [0; 4])).await.unwrap();
        (client, upstream)
    }
}

async fn forward(conn: Connection, connect: Connect, port: u16) -> Result<(), BoxError> {
    relay(conn, connect.oneshot(name(port)).await?).await?;
    Ok(())
}

async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<String> {
    let mut text = String::new();
    in_time(stream.read_to_string(&mut text)).await?;
    Ok(text)
}

#[tokio::test]
async fn the_end_of_one_direction_leaves_the_other_open() {
    let proxy = Proxy::start(true).await;
    let (mut client, mut upstream) = proxy.pair().await;
    client.write_all(b"all I have to say").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read(&mut upstream).await.unwrap(), "all I have to say");
    upstream.write_all(b"and now I").await.unwrap();
    upstream.shutdown().await.unwrap();
    assert_eq!(read(&mut client).await.unwrap(), "and now I");
    assert!(matches!(proxy.served.ends.of(1).await, Outcome::Completed));
}

#[tokio::test]
async fn a_reset_of_one_side_is_a_reset_of_the_other() {
    let proxy = Proxy::start(true).await;
    let (client, mut upstream) = proxy.pair().await;
    reset(client);
    let error = read(&mut upstream).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    let (mut client, upstream) = proxy.pair().await;
    reset(upstream.into_inner().0);
    let error = read(&mut client).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let outcome = proxy.served.ends.of(2).await;
    assert!(matches!(failed_side(&outcome), RelayError::Upstream(_)));
}

/// Half an answer must not look complete.
#[tokio::test]
async fn an_end_without_close_notify_is_delivered_as_a_reset() {
    for is_required in [true, false] {
        let proxy = Proxy::start(is_required).await;
        let (mut client, mut upstream) = proxy.pair().await;
        upstream.write_all(b"half an ans").await.unwrap();
        upstream.flush().await.unwrap();
        let (mut socket, _session) = upstream.into_inner();
        socket.shutdown().await.unwrap();
        let mut received = [0; 11];
        in_time(client.read_exact(&mut received)).await.unwrap();
        assert_eq!(&received, b"half an ans");
        match is_required {
            true => {
                let error = read(&mut client).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                let outcome = proxy.served.ends.of(1).await;
                assert!(matches!(failed_side(&outcome), RelayError::Upstream(_)));
            }
            false => assert_eq!(read(&mut client).await.unwrap(), ""),
        }
    }
}

#[tokio::test]
async fn only_the_bytes_of_a_plain_socket_are_those_of_the_stream() {
    let proxy = Proxy::start(true).await;
    let port = proxy.upstream.local_addr().unwrap().port();
    let plain = to([at(1, port)]).oneshot(name(port)).await.unwrap();
    assert!(matches!(plain.plain(), Some(PlainSocket::Tcp(_))));
    let accepting = async {
        // The first one was the plain connection.
        proxy.upstream.accept().await.unwrap();
        let (upstream, _) = proxy.upstream.accept().await.unwrap();
        proxy.acceptor.accept(upstream).await
    };
    let connecting = proxy.connector.clone().oneshot(name(port));
    let (encrypted, upstream) = in_time(async { tokio::join!(connecting, accepting) }).await;
    let (encrypted, _upstream) = (encrypted.unwrap(), upstream.unwrap());
    assert!(encrypted.plain().is_none());
    assert!(encrypted.socket().is_some());
}
