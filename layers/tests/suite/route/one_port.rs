//! Plain connections, TLS, and protocols inside TLS on a single port, with real clients.

use crate::{
    support::{LONG, echoes},
    tls::pki::{Ca, Dir, EACH},
};
use reagent::{Connection, Server, ServerHandle, handle};
use reagent_layers::{
    route::{Router, negotiated, protocol, server_name},
    sniff::{Protocol, SniffLayer},
    tls::{TlsLayer, rustls::pki_types::ServerName},
};
use std::{io, process::Stdio, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tower::Layer;

/// Sends the name of the service after the first bytes, and then echoes.
async fn say(name: &'static str, mut conn: Connection) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match conn.read(&mut buf).await? {
            0 => break,
            n if buf[..n].starts_with(b"who") => {
                let secure = if conn.is_secure() { "secure" } else { "plain" };
                conn.write_all(format!("<{name} {secure}>\n").as_bytes())
                    .await?;
            }
            n => conn.write_all(&buf[..n]).await?,
        }
        conn.flush().await?;
    }
    conn.shutdown().await
}

macro_rules! says {
    ($name:literal) => {
        handle(|conn: Connection| say($name, conn))
    };
}

/// Routes TLS by server name and then by ALPN. HTTP and everything else is plain.
async fn start(dir: &Dir, ca: &Ca) -> ServerHandle {
    let (cert, key) = ca
        .server(&["localhost", "*.example.org"])
        .write(dir, "server");
    let tls = TlsLayer::builder()
        .certificate(cert, key)
        .alpn(["h2", "http/1.1"])
        .build()
        .unwrap();
    let within = Router::new()
        .route(server_name(["*.example.org"]).unwrap(), says!("example"))
        .route(negotiated("h2"), says!("h2"))
        .fallback(says!("tls"));
    let router = Router::new()
        .route(protocol(Protocol::Tls), tls.layer(within))
        .route(protocol(Protocol::Http1), says!("http"))
        .fallback(says!("else"));
    Server::bind("127.0.0.1:0")
        .layer(SniffLayer::new())
        .start(router)
        .await
        .unwrap()
}

async fn connect(server: &ServerHandle) -> TcpStream {
    let stream = TcpStream::connect(server.local_addr().socket_addr().unwrap())
        .await
        .unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

async fn who(client: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> String {
    client.write_all(b"who\n").await.unwrap();
    client.flush().await.unwrap();
    let mut answer = [0; 64];
    let reading = client.read(&mut answer);
    let n = timeout(LONG, reading).await.expect("an answer").unwrap();
    String::from_utf8_lossy(&answer[..n]).into_owned()
}

#[tokio::test]
async fn clients_of_all_kinds_get_what_they_came_for() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let server = start(&dir, &ca).await;
    let mut plain = connect(&server).await;
    assert!(echoes(&mut plain, "GET / HTTP/1.1\r\n\r\n").await);
    assert_eq!(who(&mut plain).await, "<http plain>\n");
    let mut other = connect(&server).await;
    assert_eq!(who(&mut other).await, "<else plain>\n");
    for version in EACH {
        for (name, alpn, expected) in [
            ("localhost", None, "<tls secure>\n"),
            ("localhost", Some("h2"), "<h2 secure>\n"),
            ("localhost", Some("http/1.1"), "<tls secure>\n"),
            ("a.example.org", Some("h2"), "<example secure>\n"),
        ] {
            let mut config = ca.believer(&[version]);
            config.alpn_protocols = alpn.iter().map(|alpn| alpn.as_bytes().to_vec()).collect();
            let name = ServerName::try_from(name).unwrap();
            let connecting =
                TlsConnector::from(Arc::new(config)).connect(name, connect(&server).await);
            let mut client = timeout(LONG, connecting).await.unwrap().unwrap();
            assert_eq!(who(&mut client).await, expected);
            // More than a single read, after the bytes that were read in advance.
            assert!(echoes(&mut client, &"x".repeat(100_000)).await);
            client.shutdown().await.unwrap();
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        }
    }
    drop((plain, other));
    let report = server.drain(LONG).await;
    assert_eq!(report.aborted, 0);
}

#[tokio::test]
async fn a_handshake_succeeds_in_pieces_of_a_byte() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let server = start(&dir, &ca).await;
    let config = Arc::new(ca.believer(EACH.as_slice()));
    // Passes on what the client writes, one byte at a time.
    let (ours, theirs) = tokio::io::duplex(1);
    let stream = connect(&server).await;
    let relaying = async {
        let (mut from_server, mut to_server) = stream.into_split();
        let (mut from_client, mut to_client) = tokio::io::split(theirs);
        let up = async {
            let mut byte = [0];
            while from_client.read(&mut byte).await.is_ok_and(|n| n > 0) {
                to_server.write_all(&byte).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let down = tokio::io::copy(&mut from_server, &mut to_client);
        tokio::join!(up, down)
    };
    let talking = async {
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = TlsConnector::from(config)
            .connect(name, ours)
            .await
            .unwrap();
        assert_eq!(who(&mut client).await, "<tls secure>\n");
    };
    tokio::select! {
        talked = timeout(LONG, talking) => talked.expect("a handshake"),
        _ = relaying => panic!("the relay ended first"),
    }
}

#[tokio::test]
async fn openssl_gets_through_too() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let server = start(&dir, &ca).await;
    let authority = dir.write("ca.pem", ca.pem());
    for (name, alpn, expected) in [
        ("localhost", "h2", "<h2 secure>"),
        ("localhost", "http/1.1", "<tls secure>"),
        ("b.example.org", "h2", "<example secure>"),
    ] {
        let mut command = Command::new("openssl");
        command
            .args(["s_client", "-quiet", "-verify_return_error", "-no_ign_eof"])
            .args(["-connect", &server.local_addr().to_string()])
            .args(["-CAfile", authority.to_str().unwrap()])
            .args(["-servername", name, "-verify_hostname", name, "-alpn", alpn])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                crate::skipped::skipped("openssl is not installed");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(b"who\n")
            .await
            .unwrap();
        let mut answer = vec![0; expected.len()];
        let mut stdout = child.stdout.take().unwrap();
        let reading = stdout.read_exact(&mut answer);
        timeout(LONG, reading).await.expect("an answer").unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), expected);
        child.kill().await.unwrap();
    }
}
