//! The layer in a server: what handlers find and read, and the limits of reading.

use super::hello::{hello, names, of_rustls};
use crate::support::{LONG, Served, echo, echoes};
use reagent::{
    Connection, IoStream, Server, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{
    sniff::{PrefixedIo, SniffLayer, Sniffed},
    tls::rustls::version::TLS13,
};
use std::{
    future::{Ready, ready},
    io,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};
use tower::Service;

/// Reads everything, then sends what was detected and echoes the bytes.
pub async fn tell(mut conn: Connection) -> io::Result<()> {
    let found = conn.extensions().get::<Sniffed>().unwrap().clone();
    let mut said = Vec::new();
    conn.read_to_end(&mut said).await?;
    let name = found.server_name().unwrap_or("-");
    conn.write_all(format!("{} {name}: ", found.protocol()).as_bytes())
        .await?;
    conn.write_all(&said).await?;
    conn.shutdown().await
}

pub async fn start(layer: SniffLayer) -> (Served, Clients) {
    let (listener, clients) = MemoryListener::new();
    let ends = crate::support::Ends::default();
    let server = Server::new(listener).layer(layer).observe(ends.clone());
    let server = server.start(handle(tell)).await.unwrap();
    (Served { server, ends }, clients)
}

/// Returns the response to a client that sends these pieces with pauses between them, and ends.
pub async fn tells(clients: &Clients, pieces: impl IntoIterator<Item: AsRef<[u8]>>) -> Vec<u8> {
    let mut client = clients.connect().await.unwrap();
    let exchange = async {
        for piece in pieces {
            client.write_all(piece.as_ref()).await.unwrap();
            sleep(Duration::from_millis(1)).await;
        }
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        answer
    };
    timeout(LONG, exchange).await.expect("an answer")
}

#[tokio::test(start_paused = true)]
async fn handlers_find_what_it_is_and_read_all_of_it() {
    let (_server, clients) = start(SniffLayer::new().prefix("knock", "knock")).await;
    let rustls = of_rustls("www.example.org", &["h2"], &TLS13);
    for (bytes, expected) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "http/1 -: "),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0", "http/2 -: "),
        (b"SSH-2.0-x\r\n", "ssh -: "),
        (b"PROXY UNKNOWN\r\n", "proxy -: "),
        (b"knock knock", "knock -: "),
        (b"EHLO\r\n", "unknown -: "),
        (&rustls, "tls www.example.org: "),
        // Streams that end too early.
        (b"", "unknown -: "),
        (b"GE", "unknown -: "),
        (&rustls[..100], "unknown -: "),
    ] {
        let expected = [expected.as_bytes(), bytes].concat();
        assert_eq!(tells(&clients, [bytes]).await, expected);
        // Also one byte at a time.
        assert_eq!(tells(&clients, bytes.chunks(1)).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hello_too_long_is_unknown_and_no_more_than_the_bound_is_read_of_it() {
    // The handler does not read, so all bytes read are those of the layer.
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .layer(SniffLayer::new().max_len(500))
        .start(handle(|conn: Connection| async move {
            let found = conn.extensions().get::<Sniffed>().unwrap();
            conn.label("found", found.protocol().as_str());
            conn.draining().await;
            Ok::<_, io::Error>(())
        }))
        .await
        .unwrap();
    let long = hello(&super::hello::extension(21, &[0; 1000]));
    let fits = hello(&super::hello::extension(21, &[0; 300]));
    let mut after = fits.clone();
    after.resize(5000, 1);
    for (id, bytes, found, read) in [
        (1, &long, "unknown", 500),
        (2, &fits, "tls", fits.len() as u64),
        (3, &after, "tls", 500),
    ] {
        let mut client = clients.connect().await.unwrap();
        client.write_all(bytes).await.unwrap();
        // The clock advances only when everything is idle.
        sleep(Duration::from_millis(1)).await;
        let connection = server.connection(id).unwrap();
        assert_eq!(connection.bytes_read(), read);
        assert_eq!(connection.info().labels, [("found", found.to_owned())]);
    }
}

/// A service that checks the type of the stream, and its contents before and after reading.
#[derive(Clone)]
struct Unwrapped;

impl<Io: IoStream> Service<Connection<PrefixedIo<Io>>> for Unwrapped {
    type Response = ();
    type Error = io::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut conn: Connection<PrefixedIo<Io>>) -> Self::Future {
        Box::pin(async move {
            assert_eq!(conn.io().prefix(), b"SSH-2.0-first");
            let mut piece = [0; 13];
            conn.read_exact(&mut piece).await?;
            assert!(conn.io().prefix().is_empty());
            echo(conn.boxed()).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn sniffed_bytes_are_kept_only_until_they_are_read() {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener).layer(SniffLayer::new());
    let server = server.start(Unwrapped).await.unwrap();
    let mut client = clients.connect().await.unwrap();
    client.write_all(b"SSH-2.0-first").await.unwrap();
    // The clock advances after these bytes have been read.
    sleep(Duration::from_millis(1)).await;
    assert!(echoes(&mut client, "second").await);
    drop(client);
    let report = server.drain(LONG).await;
    assert_eq!(report.aborted, 0);
}

/// Reports what was detected, and does not read.
#[derive(Clone)]
struct Found(tokio::sync::mpsc::UnboundedSender<Sniffed>);

impl<Io: IoStream> Service<Connection<Io>> for Found {
    type Response = ();
    type Error = io::Error;
    type Future = Ready<io::Result<()>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        let _ = self.0.send(conn.extensions().get().cloned().unwrap());
        ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn the_inner_of_two_has_the_last_word_and_reads_the_same() {
    let (listener, clients) = MemoryListener::new();
    let (sender, mut found) = tokio::sync::mpsc::unbounded_channel();
    let _server = Server::new(listener)
        .layer(SniffLayer::new())
        .layer(SniffLayer::new().prefix("mine", b"SSH-2.0-mine"))
        .start(Found(sender))
        .await
        .unwrap();
    let mut client = clients.connect().await.unwrap();
    client.write_all(b"SSH-").await.unwrap();
    client.write_all(b"2.0-mine").await.unwrap();
    let found = timeout(LONG, found.recv()).await.expect("a finding");
    assert_eq!(found.unwrap().protocol().as_str(), "mine");
}

#[tokio::test]
async fn an_error_of_the_stream_is_the_outcome() {
    let ends = crate::support::Ends::default();
    let server = Server::bind("127.0.0.1:0")
        .layer(SniffLayer::new())
        .observe(ends.clone())
        .start(handle(tell))
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let mut client = tokio::net::TcpStream::connect(addr).await.unwrap();
    client
        .write_all(&hello(&names(&["a.test"]))[..20])
        .await
        .unwrap();
    crate::support::until("it has read that", || {
        server
            .connection(1)
            .is_some_and(|conn| conn.bytes_read() == 20)
    })
    .await;
    socket2::SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
    assert_eq!(ends.of(1).await.to_string(), "disconnected: reset");
}
