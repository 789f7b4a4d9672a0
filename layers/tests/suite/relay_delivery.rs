//! Data that one side of a relay sent before it failed reaches the other side.

use crate::{
    relay::{Proxy, failed_side, in_time, pattern, reset},
    support::until,
};
use reagent::Outcome;
use reagent_layers::relay::{Relay, RelayError};
use std::{io::ErrorKind, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Far more than one read, and less than the kernel buffers for a peer that does not read.
const MUCH: usize = 3_000_000;

/// Reads slowly to the end, which must be a reset after everything that was `sent`.
async fn expect_all_and_a_reset(stream: &mut TcpStream, sent: &[u8]) {
    let mut all = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    let error = loop {
        match in_time(stream.read(&mut chunk)).await {
            Ok(0) => panic!("an orderly end after {} bytes", all.len()),
            Ok(n) => all.extend_from_slice(&chunk[..n]),
            Err(error) => break error,
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(all.len(), sent.len());
    assert!(all == sent, "every byte in its place");
}

#[tokio::test]
async fn a_slow_client_gets_everything_that_an_upstream_sent_before_its_reset() {
    let proxy = Proxy::start().await;
    let (mut client, mut upstream) = proxy.pair().await;
    // Left unread, so that closing resets the connection.
    client.write_all(b"question").await.unwrap();
    upstream.peek(&mut [0]).await.unwrap();
    let sent = pattern(1, 0, MUCH);
    in_time(upstream.write_all(&sent)).await.unwrap();
    let connection = proxy.served.connection(1).unwrap();
    until("the proxy has taken all", || {
        connection.bytes_written() == "pong".len() as u64 + MUCH as u64
    })
    .await;
    drop(upstream);
    expect_all_and_a_reset(&mut client, &sent).await;
    let outcome = proxy.served.ends.of(1).await;
    assert!(matches!(failed_side(&outcome), RelayError::Upstream(_)));
    assert_eq!(
        connection.bytes_written(),
        "pong".len() as u64 + MUCH as u64
    );
}

#[tokio::test]
async fn a_slow_upstream_gets_everything_that_a_client_sent_before_its_reset() {
    let proxy = Proxy::start().await;
    let (mut client, mut upstream) = proxy.pair().await;
    let sent = pattern(2, 0, MUCH);
    in_time(client.write_all(&sent)).await.unwrap();
    let connection = proxy.served.connection(1).unwrap();
    until("the proxy has taken all", || {
        connection.bytes_read() == "ping".len() as u64 + MUCH as u64
    })
    .await;
    reset(client);
    expect_all_and_a_reset(&mut upstream, &sent).await;
    let outcome = proxy.served.ends.of(1).await;
    assert_eq!(outcome.to_string(), "disconnected: reset");
}

/// An upstream that responds before it continues reading blocks unless its response is read.
#[tokio::test]
async fn an_answer_for_nobody_does_not_hold_up_the_question() {
    let proxy = Proxy::start().await;
    let (mut client, mut upstream) = proxy.pair().await;
    let sent = pattern(3, 0, MUCH);
    in_time(client.write_all(&sent)).await.unwrap();
    let connection = proxy.served.connection(1).unwrap();
    until("the proxy has taken all", || {
        connection.bytes_read() == "ping".len() as u64 + MUCH as u64
    })
    .await;
    reset(client);
    in_time(upstream.write_all(&vec![0; 50_000_000]))
        .await
        .unwrap();
    expect_all_and_a_reset(&mut upstream, &sent).await;
}

/// An upstream that has responded and closed in order does not count as truncated, although it can
/// no longer be written to.
#[tokio::test]
async fn an_orderly_end_stays_one_when_more_is_sent_to_it() {
    let proxy = Proxy::start().await;
    let (mut client, mut upstream) = proxy.pair().await;
    let sent = pattern(4, 0, MUCH);
    in_time(upstream.write_all(&sent)).await.unwrap();
    let connection = proxy.served.connection(1).unwrap();
    until("the proxy has taken all", || {
        connection.bytes_written() == "pong".len() as u64 + MUCH as u64
    })
    .await;
    drop(upstream);
    in_time(client.write_all(&[0; 1000])).await.unwrap();
    let mut all = Vec::new();
    in_time(client.read_to_end(&mut all)).await.unwrap();
    assert!(all == sent, "every byte in its place");
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_not_waited_for_longer_than_the_limit() {
    let limit = Duration::from_millis(300);
    let proxy = Proxy::start_with(Relay::new().delivery_timeout(limit)).await;
    let (mut client, mut upstream) = proxy.pair().await;
    client.write_all(b"question").await.unwrap();
    upstream.peek(&mut [0]).await.unwrap();
    in_time(upstream.write_all(&pattern(5, 0, MUCH)))
        .await
        .unwrap();
    reset(upstream);
    let outcome = proxy.served.ends.of(1).await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    let mut all = Vec::new();
    let error = in_time(client.read_to_end(&mut all)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(all.len() < MUCH, "{} bytes of what was given up", all.len());
}

/// An upstream may use TLS.
#[cfg(feature = "tls")]
#[test]
fn a_tls_stream_is_an_upstream() {
    use reagent_layers::relay::Resettable;
    fn is_resettable<T: Resettable>() {}
    is_resettable::<tokio_rustls::client::TlsStream<TcpStream>>();
    is_resettable::<tokio_rustls::server::TlsStream<TcpStream>>();
}

/// Data that arrives for a closed socket resets it. So a peer that sends all the time would lose
/// what is queued for it if its side were closed early.
#[tokio::test]
async fn a_side_that_fails_after_its_end_costs_a_peer_that_sends_nothing() {
    let proxy = Proxy::start().await;
    let (mut client, mut upstream) = proxy.pair().await;
    let sent = pattern(5, 0, MUCH);
    in_time(upstream.write_all(&sent)).await.unwrap();
    upstream.shutdown().await.unwrap();
    let connection = proxy.served.connection(1).unwrap();
    until("the proxy has taken all", || {
        connection.bytes_written() == "pong".len() as u64 + MUCH as u64
    })
    .await;
    // Left unread, so that closing resets the connection.
    client.write_all(b"question").await.unwrap();
    upstream.peek(&mut [0]).await.unwrap();
    drop(upstream);
    let (mut reader, mut writer) = client.split();
    let sending = async {
        for _ in 0..2000 {
            writer.write_all(&[0; 1000]).await?;
            tokio::task::yield_now().await;
        }
        std::io::Result::Ok(())
    };
    in_time(sending).await.expect("an open connection");
    let mut all = Vec::new();
    in_time(reader.read_to_end(&mut all))
        .await
        .expect("an orderly end");
    assert!(all == sent, "{} bytes", all.len());
    drop(client);
    proxy.served.ends.of(1).await;
}
