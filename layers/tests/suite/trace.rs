//! `TraceLayer`: the spans of connections, and the events inside them.

use crate::{
    capture::{Capture, Fields, field},
    support::{echo, outcome, until},
};
use reagent::{
    Addr, BoxError, BoxIo, Connection, ConnectionService, Outcome, Rejected, Server, ServerHandle,
    Upgrade, UpgradeLayer, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::trace::{Trace, TraceLayer, TraceObserver};
use std::{future::pending, io, net::SocketAddr};
use tokio::sync::mpsc;
use tracing::Level;

pub async fn start<S>(service: S) -> (ServerHandle, Clients)
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

    // An IPv4 client as seen by a dual-stack socket.
    let addr: SocketAddr = "[::ffff:192.0.2.1]:77".parse().unwrap();
    drop(clients.connect_from(addr).await.unwrap());
    until("the end", || capture.closed().len() == 3).await;
    let span = &capture.closed()[2];
    assert_eq!(field(span, "network.type"), Some("ipv4"));
    assert_eq!(field(span, "network.peer.address"), Some("192.0.2.1"));
}

/// Adds facts to a connection, as TLS and the PROXY protocol do.
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
async fn facts_found_by_layers_are_in_the_span_when_the_handler_begins() {
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
async fn connections_that_do_not_reach_the_layer_have_an_event_and_no_span() {
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
async fn values_of_a_handler_are_dropped_in_its_span() {
    struct Farewell;
    impl Drop for Farewell {
        fn drop(&mut self) {
            tracing::info!("farewell");
        }
    }
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .layer(TraceLayer::new())
        .start(handle(|_: Connection| async {
            let _farewell = Farewell;
            pending::<io::Result<()>>().await
        }))
        .await
        .unwrap();
    let _client = clients.connect().await.unwrap();
    until("a connection", || server.connection_count() == 1).await;
    tokio::task::yield_now().await;
    let abort = async { server.connection(1).unwrap().abort() };
    let (ended, ()) = tokio::join!(outcome(&server, 1), abort);
    assert!(matches!(ended, Outcome::Aborted));
    let farewell = &capture.named("farewell")[0];
    assert_eq!(farewell.spans[0]["connection.id"], "1");
    assert_eq!(capture.closed()[0]["outcome"], "aborted");
}

#[tokio::test]
async fn a_span_lasts_as_long_as_its_connection_wherever_the_stream_goes() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let (listener, clients) = MemoryListener::new();
    let (away, mut taken) = mpsc::unbounded_channel();
    let server = Server::new(listener)
        .observe(TraceObserver::new())
        .layer(TraceLayer::new())
        .start(handle(move |conn: Connection| {
            let given = away.send(conn);
            async move { given.map_err(|_| io::Error::other("nobody takes it")) }
        }))
        .await
        .unwrap();
    let _client = clients.connect().await.unwrap();
    let conn = taken.recv().await.unwrap();
    let handled = || server.connection(1).unwrap().outcome().is_some();
    until("the end of the handler", handled).await;
    assert!(capture.closed().is_empty());
    assert!(capture.named("connection ended").is_empty());
    {
        // Inside an unrelated span, to which the event must not be attributed.
        let _other = tracing::info_span!("other").entered();
        drop(conn);
    }
    let end = &capture.named("connection ended")[0];
    assert_eq!(end.fields["outcome"], "completed");
    assert!(end.spans.is_empty());
    let is_ours = |span: &&Fields| span["name"] == "connection";
    assert_eq!(capture.closed().iter().filter(is_ours).count(), 1);
}
