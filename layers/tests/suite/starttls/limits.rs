//! Clients that do not go on.

use super::{GSSENC_REQUEST, SSL_REQUEST, Site, answer};
use crate::support::LONG;
use reagent::{Disconnect, Outcome};
use reagent_layers::starttls::TIMEOUT;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};

const SECOND: Duration = Duration::from_secs(1);

async fn timed_out(site: &Site, id: u64) -> String {
    match site.ends.of(id).await {
        Outcome::TimedOut(limit) => limit.kind().to_owned(),
        outcome => panic!("{outcome}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_negotiation_has_one_time_limit() {
    let site = Site::new(|layer| layer.timeout(3 * SECOND)).await;
    let began = Instant::now();
    let mut slow = site.client().await;
    slow.write_all(GSSENC_REQUEST).await.unwrap();
    assert_eq!(answer(&mut slow).await, b'N');
    for byte in SSL_REQUEST {
        sleep(SECOND / 2).await;
        if slow.write_all(&[*byte]).await.is_err() {
            break;
        }
    }
    assert_eq!(slow.read(&mut [0]).await.unwrap(), 0);
    assert!(began.elapsed() < 5 * SECOND);
    assert_eq!(timed_out(&site, 1).await, TIMEOUT);

    let began = Instant::now();
    let mut silent = site.client().await;
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(began.elapsed().as_secs(), 3);
    assert_eq!(timed_out(&site, 2).await, TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn the_handshake_has_its_own_time_limit() {
    let site = Site::new(|layer| layer.timeout(3 * SECOND)).await;
    let mut client = site.client().await;
    client.write_all(SSL_REQUEST).await.unwrap();
    assert_eq!(answer(&mut client).await, b'S');
    let began = Instant::now();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(began.elapsed().as_secs(), 10);
    assert_eq!(timed_out(&site, 1).await, "tls handshake");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_it_has_asked_is_disconnected() {
    let site = Site::new(|layer| layer).await;
    for (id, sent) in (1..).zip([&b""[..], &SSL_REQUEST[..7]]) {
        let mut client = site.client().await;
        client.write_all(sent).await.unwrap();
        drop(client);
        let outcome = site.ends.of(id).await;
        let is_eof = matches!(outcome, Outcome::Disconnected(Disconnect::Eof));
        assert!(is_eof, "{outcome}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_go_of_clients_that_have_not_asked() {
    let site = Site::new(|layer| layer.timeout(None)).await;
    let (_silent, mut declined) = (site.client().await, site.client().await);
    declined.write_all(GSSENC_REQUEST).await.unwrap();
    assert_eq!(answer(&mut declined).await, b'N');
    let began = Instant::now();
    let drained = site.server.drain(LONG);
    let finished = async {
        let outcome = site.ends.of(1).await;
        assert!(matches!(outcome, Outcome::Drained), "{outcome}");
        assert!(began.elapsed() <= SECOND);
        // A client whose request was answered may go on.
        declined.write_all(SSL_REQUEST).await.unwrap();
        assert_eq!(answer(&mut declined).await, b'S');
        let client = site.handshake(declined, &[]).await.unwrap();
        assert_eq!(super::finish(client, b"").await, b"done");
    };
    let (report, ()) = tokio::join!(drained, finished);
    assert_eq!((report.finished, report.aborted), (2, 0));
}
