//! `TraceLayer` and `TraceObserver`: what they say, and of whom.

use crate::{
    capture::{Capture, Fields, TARGET},
    endings::{WAYS, all_ended, as_told, end},
    support::{echo, echoes, until},
};
use reagent::{
    Addr, BoxError, BoxIo, Connection, ConnectionService, Rejected, Server, ServerHandle, Upgrade,
    UpgradeLayer, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::trace::{Trace, TraceLayer, TraceObserver};
use std::{collections::BTreeMap, io, net::SocketAddr};
use tracing::Level;

async fn start<S>(service: S) -> (ServerHandle, Clients)
where
    S: Clone + ConnectionService,
    Trace<S>: ConnectionService,
{
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .observe(TraceObserver::new())
        .layer(TraceLayer::new())
        .start(service);
    (server.await.unwrap(), clients)
}

/// What is said of a value that may not be there.
fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.get(name).map(String::as_str)
}

/// Emits an event and ends.
async fn hello(_: Connection) -> io::Result<()> {
    tracing::info!("hello");
    Ok(())
}

#[tokio::test]
async fn a_handler_runs_in_a_span_that_says_which_connection_it_serves() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let server = Server::bind("127.0.0.1:0")
        .layer(TraceLayer::new())
        .start(handle(hello))
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let client = tokio::net::TcpStream::connect(addr).await.unwrap();
    until("the end", || capture.closed().len() == 1).await;

    let hello = &capture.named("hello")[0];
    let span = &hello.spans[0];
    let local = client.local_addr().unwrap().port().to_string();
    for (name, value) in [
        ("name", "connection"),
        ("connection.id", "1"),
        ("network.transport", "tcp"),
        ("network.type", "ipv4"),
        ("network.peer.address", "127.0.0.1"),
        ("network.peer.port", &local),
        ("network.local.address", "127.0.0.1"),
        ("network.local.port", &addr.port().to_string()),
    ] {
        assert_eq!(field(span, name), Some(value), "{name}");
    }
    assert_eq!(hello.spans.len(), 1);
    assert_eq!(field(span, "client.address"), None);
    assert_eq!(field(span, "outcome"), None);
    assert_eq!(field(&capture.closed()[0], "outcome"), Some("completed"));
}

#[cfg(unix)]
#[tokio::test]
async fn each_kind_of_address_is_named_as_the_conventions_have_it() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let path = std::env::temp_dir().join(format!("reagent-trace-{}.sock", std::process::id()));
    let unix = Server::bind(format!("unix:{}", path.display()))
        .layer(TraceLayer::new())
        .start(handle(hello))
        .await
        .unwrap();
    drop(tokio::net::UnixStream::connect(&path).await.unwrap());
    until("the end", || capture.closed().len() == 1).await;
    let span = &capture.closed()[0];
    assert_eq!(field(span, "network.transport"), Some("unix"));
    assert_eq!(field(span, "network.type"), None);
    assert_eq!(field(span, "network.peer.port"), None);
    assert_eq!(field(span, "network.peer.address"), None);
    assert_eq!(field(span, "network.local.address"), path.to_str());
    unix.abort();

    let (_server, clients) = start(handle(hello)).await;
    let addr: SocketAddr = "[2001:db8::1]:77".parse().unwrap();
    drop(clients.connect_from(addr).await.unwrap());
    until("the end", || capture.closed().len() == 2).await;
    let span = &capture.closed()[1];
    assert_eq!(field(span, "network.transport"), Some("tcp"));
    assert_eq!(field(span, "network.type"), Some("ipv6"));
    assert_eq!(field(span, "network.peer.address"), Some("2001:db8::1"));
    assert_eq!(field(span, "network.peer.port"), Some("77"));
}

#[tokio::test]
async fn however_a_connection_ends_there_is_one_start_and_one_end() {
    let (capture, _guard) = Capture::up_to(Level::TRACE);
    let (server, clients) = start(handle(as_told)).await;
    for _ in 0..100 {
        for (way, _) in WAYS {
            end(&clients, way).await;
        }
    }
    all_ended(&server).await;

    let mut counts = BTreeMap::new();
    for event in capture.events() {
        let Some(id) = event.fields.get("connection.id") else {
            continue;
        };
        assert_eq!(event.target, TARGET);
        assert!(event.spans.is_empty(), "in no span: {event:?}");
        let count: &mut (u32, u32) = counts.entry(id.clone()).or_default();
        match event.message() {
            "connection started" => count.0 += 1,
            "connection ended" => count.1 += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!(counts.len(), 700);
    assert!(counts.values().all(|count| *count == (1, 1)), "{counts:?}");
    assert_eq!(capture.closed().len(), 700);
}

#[tokio::test]
async fn the_end_says_how_and_why() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let (server, clients) = start(handle(as_told)).await;
    for (way, _) in WAYS {
        end(&clients, way).await;
        all_ended(&server).await;
    }
    let ends = capture.named("connection ended");
    for ((end, span), (_, outcome)) in ends.iter().zip(capture.closed()).zip(WAYS) {
        let (class, message) = match outcome {
            "failed" => (Some("BrokenPipe"), Some("broken pipe")),
            "rejected" | "timed_out" => (Some("as told"), None),
            "panicked" => (Some("panic"), Some("as told")),
            _ => (None, None),
        };
        let level = match outcome {
            "panicked" => Level::ERROR,
            _ => Level::INFO,
        };
        assert_eq!(end.level, level, "{outcome}");
        for fields in [&end.fields, &span] {
            assert_eq!(field(fields, "outcome"), Some(outcome));
            assert_eq!(field(fields, "error.type"), class, "{outcome}");
            assert_eq!(field(fields, "bytes_read"), Some("1"));
            assert_eq!(field(fields, "bytes_written"), Some("1"));
        }
        assert_eq!(field(&end.fields, "error.message"), message, "{outcome}");
        assert_eq!(field(&span, "error.message"), None);
        assert!(end.fields["duration"].parse::<f64>().unwrap() >= 0.0);
        assert_eq!(end.fields["listener"], server.local_addr().to_string());
    }
    assert_eq!(ends.len(), WAYS.len());
}

/// Knows something of each connection, as TLS and the PROXY protocol do.
struct Facts;

impl Upgrade<BoxIo> for Facts {
    type Io = BoxIo;

    async fn upgrade(&self, mut conn: Connection) -> Result<Connection, BoxError> {
        conn.set_peer_addr(Addr::from(SocketAddr::from(([192, 0, 2, 7], 4711))));
        conn.label("tls.protocol.version", "1.3");
        conn.label("server.address", "example.org");
        conn.label("user", "alice");
        Ok(conn)
    }
}

#[tokio::test]
async fn what_layers_find_out_is_in_the_span_when_the_handler_begins() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let (_server, clients) = start(tower_layer::Layer::layer(
        &UpgradeLayer::new(Facts),
        handle(hello),
    ))
    .await;
    drop(clients.connect().await.unwrap());
    until("the end", || capture.closed().len() == 1).await;

    let span = &capture.named("hello")[0].spans[0];
    let end = &capture.named("connection ended")[0].fields;
    for fields in [span, end] {
        assert_eq!(field(fields, "tls.protocol.version"), Some("1.3"));
        assert_eq!(field(fields, "server.address"), Some("example.org"));
    }
    assert_eq!(field(end, "labels"), Some(r#"[("user", "alice")]"#));
    for fields in [&capture.closed()[0], end] {
        assert_eq!(field(fields, "client.address"), Some("192.0.2.7"));
        assert_eq!(field(fields, "client.port"), Some("4711"));
    }
}

#[tokio::test]
async fn the_client_behind_a_proxy_is_in_the_span_from_its_beginning_if_it_is_known() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let (_server, clients) = {
        let (listener, clients) = MemoryListener::new();
        let server = Server::new(listener)
            .layer(UpgradeLayer::new(Facts))
            .layer(TraceLayer::new())
            .start(handle(hello));
        (server.await.unwrap(), clients)
    };
    drop(clients.connect().await.unwrap());
    until("the end", || capture.closed().len() == 1).await;
    let span = &capture.named("hello")[0].spans[0];
    assert_eq!(field(span, "client.address"), Some("192.0.2.7"));
    assert_eq!(field(span, "client.port"), Some("4711"));
}

struct Refuse;

impl Upgrade<BoxIo> for Refuse {
    type Io = BoxIo;

    async fn upgrade(&self, _: Connection) -> Result<Connection, BoxError> {
        Err(Rejected::new("not today").into())
    }
}

#[tokio::test]
async fn who_does_not_get_as_far_as_the_layer_has_an_event_and_no_span() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let (listener, clients) = MemoryListener::new();
    let _server = Server::new(listener)
        .observe(TraceObserver::new())
        .layer(UpgradeLayer::new(Refuse))
        .layer(TraceLayer::new())
        .start(handle(echo))
        .await
        .unwrap();
    drop(clients.connect().await.unwrap());
    let ended = || capture.named("connection ended");
    until("the end", || !ended().is_empty()).await;
    assert_eq!(field(&ended()[0].fields, "outcome"), Some("rejected"));
    assert_eq!(field(&ended()[0].fields, "error.type"), Some("not today"));
    assert!(capture.closed().is_empty());
}

#[tokio::test]
async fn no_payload_is_in_any_span_or_event() {
    let (capture, _guard) = Capture::up_to(Level::TRACE);
    let (server, clients) = start(handle(echo)).await;
    let mut client = clients.connect().await.unwrap();
    assert!(echoes(&mut client, "hunter2").await);
    drop(client);
    all_ended(&server).await;
    assert!(!capture.events().is_empty() && !capture.closed().is_empty());
    let said = format!("{:?} {:?}", capture.events(), capture.closed());
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn an_error_however_long_makes_a_short_event() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let long = |_: Connection| async { Err::<(), BoxError>("ä".repeat(100_000).into()) };
    let (server, clients) = start(handle(long)).await;
    drop(clients.connect().await.unwrap());
    until("the end", || server.stats().failed == 1).await;
    let end = &capture.named("connection ended")[0].fields;
    assert_eq!(end["error.message"], "ä".repeat(512) + "…");
    assert_eq!(end["error.type"], "_OTHER");
}
