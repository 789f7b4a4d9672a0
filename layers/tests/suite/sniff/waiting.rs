//! How long the layer waits for the first bytes.

use super::{
    hello::{hello, names},
    layer::{start, tells},
};
use reagent::{Connection, Outcome, Server, handle, testing::MemoryListener};
use reagent_layers::sniff::{SniffLayer, Sniffed, Undecided};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn undetected_clients_are_ended_at_the_timeout() {
    let part = &hello(&names(&["a.test"]))[..60];
    for (layer, seconds) in [
        (SniffLayer::new(), 5),
        (SniffLayer::new().timeout(7 * SECOND), 7),
    ] {
        for (id, said) in [(1, &b""[..]), (2, b"GE"), (3, part)] {
            let (server, clients) = start(layer.clone()).await;
            let mut last = None;
            for _ in 0..id {
                last = Some(clients.connect().await.unwrap());
            }
            last.as_mut().unwrap().write_all(said).await.unwrap();
            let began = Instant::now();
            let ended = server.ends.of(id).await;
            assert!(
                matches!(&ended, Outcome::TimedOut(limit) if limit.kind() == "sniff"),
                "{ended}"
            );
            assert_eq!(began.elapsed().as_secs(), seconds);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_trickle_do_not_put_off_the_limit() {
    let (server, clients) = start(SniffLayer::new()).await;
    let mut client = clients.connect().await.unwrap();
    let began = Instant::now();
    for byte in hello(&names(&["a.test"])) {
        if client.write_all(&[byte]).await.is_err() {
            break;
        }
        sleep(SECOND / 2).await;
    }
    assert!(matches!(server.ends.of(1).await, Outcome::TimedOut(_)));
    assert!(began.elapsed() < 7 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_it_may_take_a_day_and_with_one_what_follows_may() {
    let (_server, clients) = start(SniffLayer::new().timeout(None)).await;
    let mut client = clients.connect().await.unwrap();
    sleep(86_400 * SECOND).await;
    client.write_all(b"SSH-").await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "ssh -: SSH-");

    let (_server, clients) = start(SniffLayer::new()).await;
    let mut client = clients.connect().await.unwrap();
    client.write_all(b"SSH-").await.unwrap();
    sleep(86_400 * SECOND).await;
    client.write_all(b"late").await.unwrap();
    client.shutdown().await.unwrap();
    answer.clear();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "ssh -: SSH-late");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_speaks_first_gets_silent_clients() {
    let (listener, clients) = MemoryListener::new();
    let layer = SniffLayer::new()
        .undecided(Undecided::Unknown)
        .timeout(2 * SECOND);
    let _server = Server::new(listener)
        .layer(layer)
        .start(handle(|mut conn: Connection| async move {
            let found = conn.extensions().get::<Sniffed>().unwrap().clone();
            conn.write_all(format!("220 {}\n", found.protocol()).as_bytes())
                .await?;
            let mut said = Vec::new();
            conn.read_to_end(&mut said).await?;
            conn.write_all(&said).await?;
            io::Result::Ok(())
        }))
        .await
        .unwrap();
    // The layer waits if there are no bytes or if they are ambiguous. If they are not, it does not
    // wait.
    for (said, seconds, found) in [
        (&b""[..], 2, "220 unknown\n"),
        (b"P", 2, "220 unknown\n"),
        (b"\x16\x03\x01", 2, "220 unknown\n"),
        (b"EHLO", 2, "220 unknown\n"),
        (b"EHLO me\r\n", 0, "220 unknown\n"),
        (b"hello", 0, "220 unknown\n"),
        (b"GET ", 0, "220 http/1\n"),
    ] {
        let mut client = clients.connect().await.unwrap();
        client.write_all(said).await.unwrap();
        let began = Instant::now();
        let mut greeting = vec![0; found.len()];
        client.read_exact(&mut greeting).await.unwrap();
        assert_eq!(String::from_utf8(greeting).unwrap(), found);
        assert_eq!(began.elapsed().as_secs(), seconds);
        client.write_all(b" and more").await.unwrap();
        client.shutdown().await.unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, [said, b" and more"].concat());
    }
}

#[tokio::test(start_paused = true)]
async fn silent_clients_delay_nobody() {
    let (server, clients) = start(SniffLayer::new()).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(clients.connect().await.unwrap());
    }
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(tells(&clients, ["SSH-"]).await, b"ssh -: SSH-");
    }
    // Each client waited one millisecond itself.
    assert!(began.elapsed() < SECOND);
    for id in 1..=100 {
        assert!(matches!(server.ends.of(id).await, Outcome::TimedOut(_)));
    }
}
