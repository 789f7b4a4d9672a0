//! What happens to one side of a relay happens to the other.

use crate::support::{Ends, LONG, Served};
use reagent::{BoxError, Connection, Outcome, Server, handle};
use reagent_layers::relay::{Relay, RelayError, relay};
use socket2::SockRef;
use std::{
    future::Future,
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    time::timeout,
};

/// A proxy and its upstream.
pub struct Proxy {
    pub served: Served,
    upstream: TcpListener,
}

impl Proxy {
    pub async fn start() -> Self {
        Self::start_with(Relay::new()).await
    }

    pub async fn start_with(relay: Relay) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = upstream.local_addr().unwrap();
        let ends = Ends::default();
        let server = Server::bind("127.0.0.1:0")
            .observe(ends.clone())
            .start(handle(move |conn: Connection| {
                forward(conn, to, relay.clone())
            }))
            .await
            .unwrap();
        let served = Served { server, ends };
        Proxy { served, upstream }
    }

    /// Returns a client and its upstream, after an exchange in both directions.
    pub async fn pair(&self) -> (TcpStream, TcpStream) {
        let addr = self.served.local_addr().socket_addr().unwrap();
        let mut client = TcpStream::connect(addr).await.unwrap();
        let (mut upstream, _) = in_time(self.upstream.accept()).await.unwrap();
        client.write_all(b"ping").await.unwrap();
        in_time(upstream.read_exact(&mut [0; 4])).await.unwrap();
        upstream.write_all(b"pong").await.unwrap();
        in_time(client.read_exact(&mut [0; 4])).await.unwrap();
        (client, upstream)
    }
}

async fn forward(conn: Connection, to: SocketAddr, relay: Relay) -> Result<(), BoxError> {
    relay.run(conn, TcpStream::connect(to).await?).await?;
    Ok(())
}

pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(LONG, future).await.expect("done in time")
}

async fn read(stream: &mut TcpStream) -> io::Result<String> {
    let mut text = String::new();
    in_time(stream.read_to_string(&mut text)).await?;
    Ok(text)
}

pub fn reset(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

pub fn failed_side(outcome: &Outcome) -> &RelayError {
    let Outcome::Failed(error) = outcome else {
        panic!("{outcome:?}")
    };
    error.downcast_ref().expect("an error of the relay")
}

#[tokio::test]
async fn the_end_of_one_direction_leaves_the_other_open() {
    let proxy = Proxy::start().await;
    let (mut client, mut upstream) = proxy.pair().await;
    client.write_all(b"all I have to say").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read(&mut upstream).await.unwrap(), "all I have to say");
    upstream.write_all(b"and now I").await.unwrap();
    upstream.shutdown().await.unwrap();
    assert_eq!(read(&mut client).await.unwrap(), "and now I");
    assert!(matches!(proxy.served.ends.of(1).await, Outcome::Completed));

    let (mut client, mut upstream) = proxy.pair().await;
    upstream.shutdown().await.unwrap();
    assert_eq!(read(&mut client).await.unwrap(), "");
    client.write_all(b"still here").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read(&mut upstream).await.unwrap(), "still here");
    assert!(matches!(proxy.served.ends.of(2).await, Outcome::Completed));
}

#[tokio::test]
async fn a_reset_of_one_side_is_a_reset_of_the_other() {
    let proxy = Proxy::start().await;
    let (client, mut upstream) = proxy.pair().await;
    reset(client);
    let error = read(&mut upstream).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let outcome = proxy.served.ends.of(1).await;
    assert_eq!(outcome.to_string(), "disconnected: reset");

    let (mut client, upstream) = proxy.pair().await;
    reset(upstream);
    let error = read(&mut client).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let outcome = proxy.served.ends.of(2).await;
    assert!(matches!(failed_side(&outcome), RelayError::Upstream(_)));
}

/// Neither side may mistake the part for the whole.
#[tokio::test]
async fn a_truncated_stream_is_reset_on_both_sides() {
    let proxy = Proxy::start().await;
    let (mut client, mut upstream) = proxy.pair().await;
    proxy.served.connection(1).unwrap().abort();
    for side in [&mut client, &mut upstream] {
        let error = read(side).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    assert!(matches!(proxy.served.ends.of(1).await, Outcome::Aborted));
}

/// A server that stops reading sends its last words and closes with unread bytes, which resets the
/// connection of a client that is still sending.
#[tokio::test]
async fn a_relay_that_is_stopped_closes_both_sides_in_order() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = upstream.local_addr().unwrap();
    let stop = Arc::new(tokio::sync::Notify::new());
    let stopping = stop.clone();
    let forward = move |conn: Connection| {
        let stop = stopping.clone();
        async move {
            let upstream = TcpStream::connect(to).await?;
            let stop = async move { stop.notified().await };
            let relay = Relay::new().quiet(Duration::from_millis(100));
            relay.run_until(conn, upstream, stop).await?;
            Ok::<_, BoxError>(())
        }
    };
    let ends = Ends::default();
    let server = Server::bind("127.0.0.1:0")
        .observe(ends.clone())
        .start(handle(forward))
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let mut client = TcpStream::connect(addr).await.unwrap();
    let (mut upstream, _) = in_time(upstream.accept()).await.unwrap();
    client.write_all(b"ping").await.unwrap();
    in_time(upstream.read_exact(&mut [0; 4])).await.unwrap();
    stop.notify_one();
    assert_eq!(read(&mut client).await.unwrap(), "");
    assert_eq!(read(&mut upstream).await.unwrap(), "");
    assert_eq!(ends.of(1).await.to_string(), "completed");
}

/// A side that has ended has nothing to send, and what is left is the silence of the other.
#[tokio::test]
async fn a_relay_that_is_stopped_closes_a_side_that_waits_for_the_end_of_the_other() {
    for client_ends in [true, false] {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = upstream.local_addr().unwrap();
        let server = Server::bind("127.0.0.1:0")
            .start(handle(move |conn: Connection| async move {
                let upstream = TcpStream::connect(to).await?;
                let stop = conn.draining();
                let relay = Relay::new().quiet(Duration::from_millis(50));
                relay.run_until(conn, upstream, stop).await?;
                Ok::<_, BoxError>(())
            }))
            .await
            .unwrap();
        let addr = server.local_addr().socket_addr().unwrap();
        let mut client = TcpStream::connect(addr).await.unwrap();
        let (mut upstream, _) = in_time(upstream.accept()).await.unwrap();
        let (ends, stays) = match client_ends {
            true => (&mut client, &mut upstream),
            false => (&mut upstream, &mut client),
        };
        ends.write_all(b"ping").await.unwrap();
        ends.shutdown().await.unwrap();
        assert_eq!(read(stays).await.unwrap(), "ping");
        let report = in_time(server.drain(LONG)).await;
        assert_eq!((report.finished, report.aborted), (1, 0));
        assert_eq!(read(ends).await.unwrap(), "", "an orderly end");
    }
}

/// A client that pauses is not quiet while there is data for it.
#[tokio::test]
async fn a_relay_that_is_stopped_loses_nothing_for_a_client_that_pauses() {
    const MUCH: usize = 16 << 20;
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = upstream.local_addr().unwrap();
    let server = Server::bind("127.0.0.1:0")
        .start(handle(move |conn: Connection| async move {
            let upstream = TcpStream::connect(to).await?;
            let relay = Relay::new().quiet(Duration::from_millis(50));
            relay
                .run_until(conn, upstream, std::future::ready(()))
                .await?;
            Ok::<_, BoxError>(())
        }))
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let mut client = TcpStream::connect(addr).await.unwrap();
    let (mut upstream, _) = in_time(upstream.accept()).await.unwrap();
    let send = async {
        upstream.write_all(&vec![1; MUCH]).await.unwrap();
        // The upstream stays open, so the end must come from the relay.
        in_time(upstream.read(&mut [0])).await.unwrap();
    };
    let receive = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut received = Vec::new();
        in_time(client.read_to_end(&mut received)).await.unwrap();
        received.len()
    };
    let ((), received) = tokio::join!(send, receive);
    assert_eq!(received, MUCH);
}

/// The upstream has seen the end, and no one reads what it still sends.
#[tokio::test]
async fn an_upstream_whose_client_has_gone_is_not_kept() {
    let proxy = Proxy::start().await;
    let (mut client, mut upstream) = proxy.pair().await;
    client.shutdown().await.unwrap();
    drop(client);
    let flooding = async {
        while upstream.write_all(&[1; 1024]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    in_time(flooding).await;
    in_time(proxy.served.ends.of(1)).await;
}

#[tokio::test]
async fn last_words_arrive() {
    let proxy = Proxy::start().await;
    let (mut client, mut upstream) = proxy.pair().await;
    client.write_all(&[0; 1000]).await.unwrap();
    // At least one byte has arrived and is unread.
    upstream.peek(&mut [0]).await.unwrap();
    upstream.write_all(b"too much\n").await.unwrap();
    drop(upstream);
    let mut words = [0; 9];
    in_time(client.read_exact(&mut words)).await.unwrap();
    assert_eq!(&words, b"too much\n");
    let more = async { while client.write_all(&[0; 1000]).await.is_ok() {} };
    in_time(more).await;
    let outcome = proxy.served.ends.of(1).await;
    assert!(matches!(failed_side(&outcome), RelayError::Upstream(_)));
}

#[tokio::test]
async fn nothing_is_lost_or_mixed_up_when_both_send_much() {
    let proxy = Proxy::start().await;
    let (client, upstream) = proxy.pair().await;
    let exchange = |stream: TcpStream, seed: u8| async move {
        let (mut reader, mut writer) = stream.into_split();
        let send = async {
            // Pieces of all sizes.
            let bytes = pattern(seed, 0, TOTAL);
            for piece in bytes.chunks(65_537) {
                writer.write_all(piece).await.unwrap();
            }
            writer.shutdown().await.unwrap();
        };
        let receive = async {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).await.unwrap();
            all
        };
        tokio::join!(send, receive).1
    };
    let (at_client, at_upstream) =
        in_time(async { tokio::join!(exchange(client, 1), exchange(upstream, 2)) }).await;
    assert!(at_client == pattern(2, 0, TOTAL), "the client's bytes");
    assert!(at_upstream == pattern(1, 0, TOTAL), "the upstream's bytes");
}

const TOTAL: usize = 5_000_000;

/// Bytes that repeat with a prime period.
pub fn pattern(seed: u8, from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(|n| (n % 251) as u8 ^ seed).collect()
}

#[tokio::test]
async fn nothing_is_read_for_a_side_that_does_not_read() {
    let (ours, mut upstream) = UnixStream::pair().unwrap();
    let ours = Arc::new(Mutex::new(Some(ours)));
    let server = Server::bind("127.0.0.1:0")
        .start(handle(move |conn: Connection| {
            let upstream = ours.lock().unwrap().take().unwrap();
            async move { relay(conn, upstream).await.map(drop) }
        }))
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let mut client = TcpStream::connect(addr).await.unwrap();
    // Far more than the socket buffers hold.
    let sent = pattern(3, 0, 50_000_000);
    let mut rest = &sent[..];
    let stuck = async { while client.write_buf(&mut rest).await.unwrap() > 0 {} };
    assert!(timeout(Duration::from_millis(300), stuck).await.is_err());
    assert!(!rest.is_empty());
    let read = server.connection(1).unwrap().info().bytes_read as usize;
    assert!(read < 5_000_000, "{read} bytes read for nobody");

    let send = async {
        client.write_all(rest).await.unwrap();
        client.shutdown().await.unwrap();
    };
    let mut all = Vec::new();
    let receive = upstream.read_to_end(&mut all);
    let (_, received) = in_time(async { tokio::join!(send, receive) }).await;
    received.unwrap();
    assert!(all == sent, "every byte in its place");
}

/// Everything is on one thread, so that its allocations are those of the relays.
#[test]
fn an_idle_relay_holds_no_buffer() {
    const COUNT: usize = 100;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let proxy = runtime.block_on(Proxy::start());
    let mut pairs = Vec::with_capacity(2 * COUNT);
    let mut more = || {
        runtime.block_on(async {
            for _ in 0..COUNT {
                pairs.push(proxy.pair().await);
            }
        });
    };
    more();
    let each = allocation_counter::measure(more).bytes_current / COUNT as i64;
    // Four sockets, a task, and the server's state of a connection.
    assert!(each < 4_096, "{each} bytes for each that carried bytes");
}

/// The server and both ends are on one thread.
#[test]
fn bytes_pass_without_an_allocation() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let proxy = runtime.block_on(Proxy::start());
    let (mut client, mut upstream) = runtime.block_on(proxy.pair());
    let exchange = || {
        runtime.block_on(async {
            for _ in 0..100 {
                client.write_all(b"ping").await.unwrap();
                upstream.read_exact(&mut [0; 4]).await.unwrap();
                upstream.write_all(b"pong").await.unwrap();
                client.read_exact(&mut [0; 4]).await.unwrap();
            }
        });
    };
    assert_eq!(allocation_counter::measure(exchange).count_total, 0);
}
