//! The pages in a hand-over.

use super::{
    Events,
    admin::{Page, WRITE},
    handover::Gateways,
    named_upstream, read_all, say,
};
use crate::program::Example;
use reagent::BoxError;
use std::{fs, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

const ADMIN: [&str; 2] = ["--admin", "127.0.0.1:0"];

/// Starts a gateway, and returns its log too.
async fn start_with_events(gateways: &Gateways) -> (Example, Events) {
    let mut command = gateways.command();
    let mut gateway = Example::start_with("gateway", command.stderr(Stdio::piped())).await;
    let stderr = gateway.process.stderr.take().unwrap();
    (gateway, Events(BufReader::new(stderr).lines()))
}

#[tokio::test]
async fn a_ban_that_would_be_lost_is_refused() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let args = [&ADMIN[..], &["--first-byte-timeout", "1.2"]].concat();
    let gateways = Gateways::new(&upstream.local_addr().to_string(), &args).await;
    let mut first = gateways.start().await;
    let page = Page::of(&mut first).await;
    let body = r#"{"client":"192.0.2.1","seconds":600}"#;
    let mut ban = TcpStream::connect(&page.addr).await?;
    let length = body.len();
    let head = format!(
        "POST /bans HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{WRITE}\r\n\
         content-length: {length}\r\n\r\n"
    );
    ban.write_all(head.as_bytes()).await?;
    ban.write_all(&body.as_bytes()[..10]).await?;
    // The request is under way once a later one has been answered.
    assert_eq!(page.get("/bans").await.0, 200);

    let mut second = gateways.start().await;
    assert!(second.line().await.starts_with("admin on "));
    // It is answered although the pages were handed over more than a second ago.
    let _ = read_all(&mut second.connect().await).await;
    ban.write_all(&body.as_bytes()[10..]).await?;
    let answer = read_all(&mut ban).await?;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("repeat the request"), "{answer}");
    first.ended().await;
    let page = page.header(WRITE);
    let ban = serde_json::from_str(body)?;
    assert_eq!(page.post("/bans", ban).await, 200);
    second.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn a_successor_serves_clients_before_it_can_take_over_the_pages() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let gateways = Gateways::new(&upstream.local_addr().to_string(), &ADMIN).await;
    let mut first = gateways.start().await;
    let page = Page::of(&mut first).await;
    // The page of the first one is in the way of the second one as long as it is served.
    let mut gateways = gateways;
    let admin = gateways.args.iter_mut().find(|arg| *arg == ADMIN[1]);
    *admin.unwrap() = page.addr.clone();
    let mut old = first.connect().await;
    assert_eq!(say(&mut old, "hello").await?, "a hello");
    fs::remove_file(gateways.files.path("handover.sock.pages"))?;

    let (mut second, mut events) = start_with_events(&gateways).await;
    events.with("the path is missing").await;
    assert_eq!(page.get("/ready").await.0, 200);
    second.signal("HUP").await;
    events.with("certificates reloaded").await;
    assert_eq!(say(&mut old, "hello").await?, "a hello");
    drop(old);
    first.ended().await;
    assert!(second.line().await.starts_with("admin on "));
    assert_eq!(page.get("/ready").await.0, 200);
    second.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn a_successor_that_cannot_open_the_pages_stops_when_it_is_asked_to() -> Result<(), BoxError>
{
    let upstream = named_upstream("a").await;
    let gateways = Gateways::new(&upstream.local_addr().to_string(), &ADMIN).await;
    let mut first = gateways.start().await;
    let page = Page::of(&mut first).await;
    let mut gateways = gateways;
    let admin = gateways.args.iter_mut().find(|arg| *arg == ADMIN[1]);
    *admin.unwrap() = page.addr.clone();
    let mut old = first.connect().await;
    assert_eq!(say(&mut old, "hello").await?, "a hello");
    fs::remove_file(gateways.files.path("handover.sock.pages"))?;
    let (second, mut events) = start_with_events(&gateways).await;
    events.with("the path is missing").await;
    second.stop("TERM").await;
    assert_eq!(page.get("/live").await.0, 200);
    Ok(())
}
