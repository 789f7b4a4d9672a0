//! How long the layer waits for a header.

use super::{Ends, SIGNATURE, V1, proxy, start, trusting, v2};
use reagent::{
    Connection, Server, ServerHandle, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::proxy_protocol::{Mode, ProxyProtocolLayer};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};

const SECOND: Duration = Duration::from_secs(1);

/// Starts a server that speaks first.
async fn greeter(layer: ProxyProtocolLayer) -> (ServerHandle, Clients, Ends) {
    let (listener, clients) = MemoryListener::new();
    let (seen, ends) = Ends::new();
    let server = Server::new(listener).layer(layer).observe(seen);
    let greet = handle(|mut conn: Connection| async move {
        conn.write_all(b"220 ready\n").await?;
        let mut said = Vec::new();
        conn.read_to_end(&mut said).await?;
        conn.write_all(&said).await
    });
    (server.start(greet).await.unwrap(), clients, ends)
}

#[tokio::test(start_paused = true)]
async fn a_silent_sender_is_ended_at_the_limit() {
    for (layer, seconds) in [(trusting(), 5), (trusting().timeout(7 * SECOND), 7)] {
        let (_server, clients, mut ends) = start(layer).await;
        let _client = clients.connect_from(proxy()).await.unwrap();
        let began = Instant::now();
        assert_eq!(ends.timed_out().await, "proxy protocol");
        assert_eq!(began.elapsed().as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_header_is_ended_at_the_limit() {
    let whole = v2().encode().unwrap();
    for bytes in [V1, &whole] {
        for mode in [Mode::Required, Mode::Optional] {
            let (_server, clients, mut ends) = start(trusting().mode(mode)).await;
            let mut client = clients.connect_from(proxy()).await.unwrap();
            let began = Instant::now();
            let sending = async {
                // The signature is sent early, and then single bytes often enough to look alive.
                client.write_all(&bytes[..12]).await.unwrap();
                for byte in &bytes[12..] {
                    sleep(SECOND).await;
                    if client.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                }
            };
            let ending = async { (ends.timed_out().await, began.elapsed().as_secs()) };
            let ((limit, seconds), ()) = tokio::join!(ending, sending);
            assert_eq!((&*limit, seconds), ("proxy protocol", 5));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_it_may_take_a_day() {
    let (_server, clients, _ends) = start(trusting().timeout(None)).await;
    let mut client = clients.connect_from(proxy()).await.unwrap();
    sleep(86_400 * SECOND).await;
    client.write_all(V1).await.unwrap();
    let answer = super::answer(client).await;
    assert!(answer.starts_with("192.0.2.1:56324"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_over_once_the_header_is_there() {
    let (_server, clients, _ends) = start(trusting()).await;
    let mut client = clients.connect_from(proxy()).await.unwrap();
    client.write_all(V1).await.unwrap();
    sleep(3600 * SECOND).await;
    client.write_all(b"late").await.unwrap();
    let answer = super::answer(client).await;
    assert!(answer.ends_with(": late"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn in_optional_mode_the_first_byte_that_differs_decides() {
    for bytes in [
        &b"G"[..],
        b"\x16",
        b"PROXI",
        b"PROXY\r\n",
        b"\r\n\r\nG",
        b"\r\nEHLO",
    ] {
        let (_server, clients, _ends) = greeter(trusting().mode(Mode::Optional)).await;
        let mut client = clients.connect_from(proxy()).await.unwrap();
        let began = Instant::now();
        for byte in bytes {
            client.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        // The greeting arrives at once, while the client may still send.
        let mut banner = [0; 10];
        client.read_exact(&mut banner).await.unwrap();
        assert_eq!((&banner, began.elapsed().as_secs()), (b"220 ready\n", 0));
        assert_eq!(super::answer(client).await.as_bytes(), bytes);
    }
}

#[tokio::test(start_paused = true)]
async fn in_optional_mode_silent_clients_are_served_at_the_timeout() {
    // Nothing, or less than a signature: a client may be waiting for the response to an empty line.
    for bytes in [&b""[..], b"\r\n", b"P", b"PROXY", &SIGNATURE[..11]] {
        let layer = trusting().mode(Mode::Optional).timeout(3 * SECOND);
        let (_server, clients, _ends) = greeter(layer).await;
        let mut client = clients.connect_from(proxy()).await.unwrap();
        client.write_all(bytes).await.unwrap();
        let began = Instant::now();
        let mut banner = [0; 10];
        client.read_exact(&mut banner).await.unwrap();
        assert_eq!((&banner, began.elapsed().as_secs()), (b"220 ready\n", 3));
        client.write_all(b"then").await.unwrap();
        let expected = [bytes, b"then"].concat();
        assert_eq!(super::answer(client).await.as_bytes(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn in_optional_mode_ended_streams_are_served_and_truncated_headers_are_not() {
    for bytes in [&b""[..], b"PROXY"] {
        let (_server, clients, _ends) = greeter(trusting().mode(Mode::Optional)).await;
        let mut client = clients.connect_from(proxy()).await.unwrap();
        client.write_all(bytes).await.unwrap();
        let expected = [b"220 ready\n", bytes].concat();
        assert_eq!(super::answer(client).await.as_bytes(), expected);
    }
    for bytes in [&V1[..20], b"PROXY ", b"PROXY TCP9 ", SIGNATURE] {
        let (_server, clients, mut ends) = greeter(trusting().mode(Mode::Optional)).await;
        let mut client = clients.connect_from(proxy()).await.unwrap();
        client.write_all(bytes).await.unwrap();
        let _ = client.shutdown().await;
        ends.failed().await;
    }
}
