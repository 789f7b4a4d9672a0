//! What a listener can have for itself.

use crate::support::{connect_to, echo, echoes, settled, stop, until};
use reagent::{Acceptor, Bind, BoxError, Connection, Server, ServerHandle, handle};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::service_fn;

pub(super) async fn two(
    server: Server,
    first: Bind,
    second: Bind,
) -> (ServerHandle, [reagent::Addr; 2]) {
    let server = server.listen([first, second]);
    let server = server.start(handle(echo)).await.unwrap();
    let addrs: Vec<_> = server.local_addrs().collect();
    (server, addrs.try_into().unwrap())
}

pub(super) fn bind() -> Bind {
    Bind::new("127.0.0.1:0")
}

/// A server without an address yet.
pub(super) fn server() -> Server {
    let none: [&str; 0] = [];
    Server::bind(none)
}

/// Returns what each listener sends to a client.
async fn texts(server: &ServerHandle) -> Vec<String> {
    let mut texts = Vec::new();
    for addr in server.local_addrs() {
        let mut text = String::new();
        let mut client = connect_to(&addr).await;
        client.read_to_string(&mut text).await.unwrap();
        texts.push(text);
    }
    texts
}

#[tokio::test]
async fn its_state_is_found_before_that_of_the_server() {
    struct Name(&'static str);
    struct Shared(u8);

    let name = |acceptor: &Acceptor| acceptor.state().map_or("none", |Name(name)| name);
    let make = service_fn(move |acceptor: Acceptor| async move {
        let made_for = name(&acceptor);
        Ok::<_, BoxError>(handle(move |mut conn: Connection| async move {
            let name = conn.state().map_or("none", |Name(name)| name);
            let shared = conn.state().map_or(0, |Shared(number)| *number);
            let label = conn.listener_label().unwrap_or("none").to_owned();
            let text = format!("{made_for} {name} {shared} {label}");
            conn.write_all(text.as_bytes()).await
        }))
    });
    let server = server()
        .listen([bind().state(Name("own")).label("one"), bind()])
        .state(Name("server's"))
        .state(Shared(7));
    let server = server.start_make(make).await.unwrap();
    let expected = ["own own 7 one", "none server's 7 none"];
    assert_eq!(texts(&server).await, expected);
    stop(&server).await;
}

#[tokio::test]
async fn its_options_begin_with_those_of_the_server() {
    let report = handle(async |mut conn: Connection| {
        let socket = socket2::Socket::from(conn.socket()?);
        let text = format!("{} {}", socket.tcp_nodelay()?, socket.keepalive()?);
        conn.write_all(text.as_bytes()).await
    });
    let keepalive = reagent::Keepalive::after(std::time::Duration::from_secs(60));
    let server = server()
        .listen([bind().options(|options| options.nodelay = false), bind()])
        .options(move |options| options.keepalive = Some(keepalive));
    let server = server.start(report).await.unwrap();
    assert_eq!(texts(&server).await, ["false true", "true true"]);
    stop(&server).await;
}

#[tokio::test]
async fn clients_above_its_own_limit_wait_and_those_of_others_do_not() {
    let (server, [small, large]) = two(server(), bind().max_connections(1), bind()).await;
    let mut first = connect_to(&small).await;
    assert!(echoes(&mut first, "hello").await);
    let mut second = connect_to(&small).await;
    assert!(echoes(&mut connect_to(&large).await, "hello").await);
    settled().await;
    let stats = server.stats();
    assert_eq!(stats.listeners[0].accepted, 1);
    assert_eq!(stats.listeners[0].max_connections, Some(1));
    assert_eq!(stats.listeners[1].max_connections, None);
    drop(first);
    assert!(echoes(&mut second, "hello").await);

    let mut third = connect_to(&small).await;
    assert!(server.set_listener_max_connections(&small, 2));
    assert!(echoes(&mut third, "hello").await);
    let mut fourth = connect_to(&small).await;
    assert!(server.set_listener_max_connections(&small, None));
    assert!(echoes(&mut fourth, "hello").await);
    // Connections from before the limit count too.
    assert!(server.set_listener_max_connections(&small, 3));
    server.settled().await;
    let mut fifth = connect_to(&small).await;
    settled().await;
    assert_eq!(server.stats().listeners[0].open, 3);
    drop(second);
    assert!(echoes(&mut fifth, "hello").await);
    drop((third, fourth, fifth));
    stop(&server).await;
}

#[tokio::test]
async fn both_limits_hold() {
    let (server, [small, _]) = two(
        server().max_connections(1),
        bind().max_connections(2),
        bind(),
    )
    .await;
    let mut first = connect_to(&small).await;
    assert!(echoes(&mut first, "hello").await);
    let mut second = connect_to(&small).await;
    settled().await;
    assert_eq!(server.connection_count(), 1);
    server.set_max_connections(None);
    assert!(echoes(&mut second, "hello").await);
    let mut third = connect_to(&small).await;
    settled().await;
    assert_eq!(server.connection_count(), 2);
    drop(first);
    assert!(echoes(&mut third, "hello").await);
    drop((second, third));
    stop(&server).await;
}

#[tokio::test]
async fn a_name_with_two_addresses_has_one_limit() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
    let server = server()
        .listen(Bind::new("*:0").max_connections(1).label("both"))
        .start(handle(echo))
        .await
        .unwrap();
    let port = server.local_addr().port().unwrap();
    let mut first = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert!(echoes(&mut first, "hello").await);
    let mut second = TcpStream::connect(("::1", port)).await.unwrap();
    settled().await;
    assert_eq!(server.connection_count(), 1);
    drop(first);
    assert!(echoes(&mut second, "hello").await);
    drop(second);
    stop(&server).await;
}

#[tokio::test]
async fn every_listener_counts_how_its_connections_ended() {
    let (server, [first, second]) = two(server(), bind(), bind()).await;
    for _ in 0..3 {
        assert!(echoes(&mut connect_to(&first).await, "hello").await);
    }
    let client = connect_to(&second).await;
    until("four", || server.stats().accepted == 4).await;
    socket2::SockRef::from(&client)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(client);
    until("the ends", || server.connection_count() == 0).await;
    let stats = server.stats();
    let ended = |listener: usize, kind| stats.listeners[listener].ended(kind);
    use reagent::OutcomeKind::{Completed, Disconnected, Failed};
    assert_eq!(ended(0, Completed), 3);
    assert_eq!(ended(1, Completed), 0);
    assert_eq!(ended(1, Disconnected) + ended(1, Failed), 1);
    stop(&server).await;
}
