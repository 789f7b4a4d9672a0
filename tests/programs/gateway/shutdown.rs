//! The stages of a shutdown.

use super::{
    admin::{Page, WRITE},
    gateway, gateway_with_events, in_time, named_upstream, read_all, say,
};
use crate::port::Port;
use reagent::BoxError;
use serde_json::Value;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_lame_duck_serves_new_clients_until_a_second_signal() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let to = upstream.local_addr().to_string();
    let pages = ["--metrics", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let args = [&pages[..], &["--lame-duck", "1000", "--drain", "1000"]].concat();
    let mut gateway = gateway(&to, &args).await;
    let pages = [Page::of(&mut gateway).await, Page::of(&mut gateway).await];
    for page in &pages {
        assert_eq!(page.get("/ready").await.0, 200);
        assert_eq!(page.get("/live").await.0, 200);
    }
    let mut old = gateway.connect().await;
    assert_eq!(say(&mut old, "hello").await?, "a hello");

    gateway.signal("TERM").await;
    in_time(async { while pages[0].get("/ready").await.0 != 503 {} }).await;
    assert_eq!(pages[1].get("/ready").await.0, 503);
    for page in &pages {
        assert_eq!(page.get("/live").await.0, 200);
    }
    let mut new = gateway.connect().await;
    assert_eq!(say(&mut new, "hello").await?, "a hello");
    assert_eq!(say(&mut old, "hello").await?, "a hello");

    gateway.signal("TERM").await;
    gateway.ended().await;
    for mut client in [old, new] {
        assert!(read_all(&mut client).await.is_err(), "reset");
    }
    Ok(())
}

#[tokio::test]
async fn a_drain_follows_the_lame_duck() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let to = upstream.local_addr().to_string();
    let gateway = gateway(&to, &["--lame-duck", "0.2", "--drain", "1000"]).await;
    let mut client = gateway.connect().await;
    assert_eq!(say(&mut client, "hello").await?, "a hello");
    gateway.signal("TERM").await;
    // In order, since the connection is quiet.
    assert_eq!(read_all(&mut client).await?, "");
    gateway.ended().await;
    Ok(())
}

#[tokio::test]
async fn a_spread_reaches_one_connection_after_the_other() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let to = upstream.local_addr().to_string();
    let args = ["--spread", "1000", "--drain", "1000"];
    let gateway = gateway(&to, &args).await;
    let (mut first, mut second) = (gateway.connect().await, gateway.connect().await);
    for client in [&mut first, &mut second] {
        assert_eq!(say(client, "hello").await?, "a hello");
    }
    gateway.signal("TERM").await;
    assert_eq!(read_all(&mut first).await?, "");
    assert_eq!(say(&mut second, "hello").await?, "a hello");
    gateway.signal("INT").await;
    assert!(read_all(&mut second).await.is_err(), "reset");
    gateway.ended().await;
    Ok(())
}

#[tokio::test]
async fn the_pages_are_served_until_the_last_connection_has_ended() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let to = upstream.local_addr().to_string();
    let pages = ["--metrics", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let port = Port::new();
    let listen = port.addr().to_string();
    let stop = ["--spread", "1000", "--drain", "1000", "--listen", &listen];
    let args = [&pages[..], &stop].concat();
    let (mut gateway, mut events) = gateway_with_events(&to, &args).await;
    let (metrics, admin) = (Page::of(&mut gateway).await, Page::of(&mut gateway).await);
    let admin = admin.header(WRITE);
    let (mut first, mut second) = (gateway.connect().await, gateway.connect().await);
    for client in [&mut first, &mut second] {
        assert_eq!(say(client, "hello").await?, "a hello");
    }
    gateway.signal("TERM").await;
    assert_eq!(read_all(&mut first).await?, "");
    assert!(TcpStream::connect(&gateway.addr).await.is_err());
    for page in [&metrics, &admin] {
        assert_eq!(page.get("/ready").await.0, 503);
        assert_eq!(page.get("/live").await.0, 200);
    }
    let (_, listed) = admin.get("/connections").await;
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed[0]["client"], second.local_addr()?.to_string());

    gateway.signal("HUP").await;
    events.with("SIGHUP has no effect").await;
    assert_eq!(say(&mut second, "hello").await?, "a hello");
    let abort = format!("/connections/{}/abort", listed[0]["id"]);
    assert_eq!(admin.post(&abort, Value::Null).await, 202);
    gateway.ended().await;
    Ok(())
}
