//! How connections end: half-closes, resets, unreachable upstreams and drains.

use super::{gateway, gateway_with_events, in_time, metric, read_all, say, upstream};
use crate::{program::Example, support::LONG};
use reagent::BoxError;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::{io::ErrorKind, os::fd::OwnedFd, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener},
    time::timeout,
};

/// Starts a gateway whose upstream is the test itself.
async fn open(args: &[&str]) -> (Example, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap().to_string();
    (gateway(&to, args).await, listener)
}

async fn pair(gateway: &Example, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let mut client = gateway.connect().await;
    let (mut upstream, _) = in_time(listener.accept()).await.unwrap();
    client.write_all(b"ping").await.unwrap();
    in_time(upstream.read_exact(&mut [0; 4])).await.unwrap();
    (client, upstream)
}

/// Waits until no more clients are accepted. While the queue is served, the packets of new clients
/// are dropped, and they are refused when they try again, after a second.
async fn refused(gateway: &Example) {
    let is_accepted = async || {
        let connecting = timeout(
            Duration::from_millis(100),
            TcpStream::connect(&gateway.addr),
        );
        matches!(connecting.await, Ok(Ok(_)))
    };
    in_time(async { while is_accepted().await {} }).await;
}

fn reset(stream: TcpStream) {
    let zero = Some(Duration::ZERO);
    SockRef::from(&stream).set_linger(zero).unwrap();
}

#[tokio::test]
async fn half_closes_pass_both_ways() -> Result<(), BoxError> {
    let (gateway, listener) = open(&[]).await;
    let (mut client, mut upstream) = pair(&gateway, &listener).await;
    client.shutdown().await?;
    assert_eq!(read_all(&mut upstream).await?, "");
    upstream.write_all(b"late answer").await?;
    drop(upstream);
    assert_eq!(read_all(&mut client).await?, "late answer");

    let (mut client, mut upstream) = pair(&gateway, &listener).await;
    upstream.shutdown().await?;
    assert_eq!(read_all(&mut client).await?, "");
    client.write_all(b"late question").await?;
    drop(client);
    assert_eq!(read_all(&mut upstream).await?, "late question");
    gateway.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn resets_pass_both_ways() -> Result<(), BoxError> {
    let (gateway, listener) = open(&[]).await;
    let (client, mut upstream) = pair(&gateway, &listener).await;
    reset(client);
    let error = read_all(&mut upstream).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    let (mut client, upstream) = pair(&gateway, &listener).await;
    reset(upstream);
    let error = read_all(&mut client).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    gateway.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_is_down_is_a_close_an_event_and_a_count() -> Result<(), BoxError> {
    // Bound but not listening: the port stays reserved, and connections are refused.
    let down = tokio::net::TcpSocket::new_v4()?;
    down.bind("127.0.0.1:0".parse()?)?;
    let to = down.local_addr()?.to_string();
    let (mut gateway, mut events) = gateway_with_events(&to, &["--metrics", "127.0.0.1:0"]).await;
    let metrics = gateway.line().await;
    let metrics = metrics.strip_prefix("metrics on ").expect(&metrics);
    let errors = "gateway_upstream_errors_total";
    assert_eq!(metric(metrics, errors).await, Some(0.0));

    let mut client = gateway.connect().await;
    assert_eq!(read_all(&mut client).await?, "");
    assert_eq!(metric(metrics, errors).await, Some(1.0));
    assert_eq!(
        metric(metrics, "reagent_connections_active{").await,
        Some(0.0)
    );
    let event = events.with("WARN").await;
    assert!(event.contains("upstream not reached"), "{event}");
    assert!(event.contains(&to), "{event}");
    assert!(event.contains("refused"), "{event}");
    gateway.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn a_drain_lets_connections_finish_and_takes_no_more() -> Result<(), BoxError> {
    let upstream = upstream().await;
    let to = upstream.local_addr().to_string();
    let mut gateway = gateway(&to, &["--drain", "20"]).await;
    let mut client = gateway.connect().await;
    assert_eq!(say(&mut client, "before").await?, "<none> before");
    gateway.signal("TERM").await;
    refused(&gateway).await;
    assert_eq!(say(&mut client, "meanwhile").await?, "<none> meanwhile");
    client.shutdown().await?;
    assert_eq!(read_all(&mut client).await?, "");
    let status = timeout(LONG, gateway.process.wait()).await??;
    assert!(status.success());
    Ok(())
}

#[tokio::test]
async fn a_drain_has_an_end() -> Result<(), BoxError> {
    let (gateway, listener) = open(&["--drain", "0.1"]).await;
    let (_client, mut upstream) = pair(&gateway, &listener).await;
    gateway.stop("TERM").await;
    // The stream was truncated, so it must not look complete.
    let error = read_all(&mut upstream).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    Ok(())
}

#[tokio::test]
async fn a_second_signal_ends_a_drain() -> Result<(), BoxError> {
    let (mut gateway, listener) = open(&["--drain", "1000"]).await;
    let (mut client, mut upstream) = pair(&gateway, &listener).await;
    gateway.signal("TERM").await;
    refused(&gateway).await;
    gateway.signal("INT").await;
    for side in [&mut client, &mut upstream] {
        let error = read_all(side).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    let status = in_time(gateway.process.wait()).await?;
    assert!(status.success());
    Ok(())
}

/// Clients are not refused because many arrive at once.
#[tokio::test]
async fn a_unix_socket_whose_queue_is_full_is_waited_for() -> Result<(), BoxError> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("upstream.sock");
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(&path)?)?;
    socket.listen(0)?;
    socket.set_nonblocking(true)?;
    let upstream = UnixListener::from_std(OwnedFd::from(socket).into())?;
    let gateway = gateway(path.to_str().unwrap(), &[]).await;
    // The queue has room for one.
    let mut clients = [
        gateway.connect().await,
        gateway.connect().await,
        gateway.connect().await,
    ];
    for client in &mut clients {
        client.write_all(b"hello").await?;
        let reading = timeout(Duration::from_millis(100), client.readable());
        assert!(reading.await.is_err(), "neither an answer nor an end");
    }
    for _ in &clients {
        let (mut stream, _) = in_time(upstream.accept()).await?;
        let mut said = [0; 5];
        in_time(stream.read_exact(&mut said)).await?;
        assert_eq!(&said, b"hello");
    }
    Ok(())
}
