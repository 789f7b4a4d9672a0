//! The conditions of routes.

use super::{Sniffing, ask, named, start};
use crate::{
    sniff::hello::{alpn, hello, names},
    support::Ends,
};
use reagent::{Addr, Connection, Outcome, Server, handle, testing::MemoryListener};
use reagent_layers::{
    Refusal,
    proxy_protocol::{Header, ProxyProtocolLayer},
    route::{Router, local_addr, local_port, offers, protocol, server_name},
    sniff::{Protocol, SniffLayer},
};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn asks_for(name: &str) -> Vec<u8> {
    hello(&names(&[name]))
}

#[tokio::test(start_paused = true)]
async fn by_what_is_spoken() {
    let router = Router::new()
        .route(protocol(Protocol::Http1), named("http/1"))
        .route(protocol(Protocol::Http2), named("http/2"))
        .route(protocol(Protocol::Ssh), named("ssh"))
        .route(protocol(Protocol::Tls), named("tls"))
        .fallback(named("else"));
    let (_server, clients) = start(router).await;
    for (said, expected) in [
        (&b"GET / HTTP/1.1\r\n"[..], "http/1"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http/2"),
        (b"SSH-2.0-x\r\n", "ssh"),
        (&asks_for("a.test"), "tls"),
        (b"PROXY ", "else"),
        (b"", "else"),
    ] {
        assert_eq!(ask(&clients, said).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn by_the_name_that_is_asked_for_exact_or_by_wildcard() {
    let of = |names: &[&'static str]| server_name(names.to_vec()).unwrap();
    // The names need not outlive the construction of the router.
    let read = String::from("other.test.");
    let other = server_name([&read]).unwrap();
    let router = Router::new()
        .route(of(&["a.Example.org"]), named("exact"))
        .route(other, named("exact"))
        .route(of(&["*.example.org"]), named("wildcard"))
        // Shadowed by earlier routes.
        .route(of(&["b.example.org", "*.example.org"]), named("never"))
        .route(protocol(Protocol::Tls), named("default"));
    drop(read);
    let (_server, clients) = start(router).await;
    for (name, expected) in [
        ("a.example.org", "exact"),
        ("A.EXAMPLE.ORG", "exact"),
        ("other.test", "exact"),
        ("b.example.org", "wildcard"),
        ("example.org", "default"),
        ("x.a.example.org", "default"),
        ("test", "default"),
        ("org", "default"),
    ] {
        assert_eq!(ask(&clients, asks_for(name)).await, expected, "{name}");
    }
    assert_eq!(ask(&clients, hello(&[])).await, "default");
}

#[test]
fn what_is_no_name_is_refused() {
    for name in ["", "*", "*.", "a b", "*.*.org", "a.*.org", "**.org", "a..b"] {
        let error = server_name::<Sniffing>([name]).err().unwrap();
        assert_eq!(error.name(), name);
        let expected = format!(
            "invalid server name {name:?}: expected a host name such as example.org or *.example.org"
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(format!("{error:?}"), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn by_the_protocols_that_are_offered() {
    let router = Router::new()
        .route(offers("acme-tls/1"), named("acme"))
        .route(offers("h2"), named("h2"))
        .fallback(named("else"));
    let (_server, clients) = start(router).await;
    for (offered, expected) in [
        (&["http/1.1", "h2"][..], "h2"),
        (&["h2", "acme-tls/1"], "acme"),
        (&["h2c", "h", "http/1.1"], "else"),
    ] {
        assert_eq!(ask(&clients, hello(&alpn(offered))).await, expected);
    }
    assert_eq!(ask(&clients, "h2").await, "else");
}

#[tokio::test(start_paused = true)]
async fn by_anything_that_a_function_can_tell() {
    let (h2, ours) = (offers("h2"), server_name(["a.test"]).unwrap());
    let router = Router::new()
        .route(move |conn| h2(conn) && ours(conn), named("both"))
        .route(|conn| conn.id() % 2 == 0, named("even"));
    let (server, clients) = start(router).await;
    let both = hello(&[names(&["a.test"]), alpn(&["h2"])].concat());
    assert_eq!(ask(&clients, &both).await, "both");
    assert_eq!(ask(&clients, &both).await, "both");
    assert_eq!(ask(&clients, asks_for("a.test")).await, "");
    assert_eq!(ask(&clients, asks_for("a.test")).await, "even");
    assert!(matches!(server.ends.of(3).await, Outcome::Rejected(_)));
}

#[tokio::test(start_paused = true)]
async fn by_the_address_that_a_client_or_the_proxy_before_it_came_to() {
    let (listener, clients) = MemoryListener::new();
    let (second, of_second) = MemoryListener::new();
    let second_addr = reagent::Listener::local_addr(&second);
    let https: SocketAddr = "192.0.2.11:443".parse().unwrap();
    let admin: SocketAddr = "192.0.2.11:8443".parse().unwrap();
    let router = Router::new()
        .route(local_port(443), named("https"))
        .route(local_addr(admin), named("admin"))
        .route(local_addr(second_addr), named("second"));
    let proxies = ProxyProtocolLayer::new([]).trust_all();
    let _server = Server::new(listener)
        .listen(second)
        .layer(proxies.mode(reagent_layers::proxy_protocol::Mode::Optional))
        .start(router)
        .await
        .unwrap();
    let client: SocketAddr = "192.0.2.1:1234".parse().unwrap();
    let header = |to| Header::v2(client, to).encode().unwrap();
    assert_eq!(ask(&clients, header(https)).await, "https");
    assert_eq!(ask(&clients, header(admin)).await, "admin");
    assert_eq!(ask(&clients, header(client)).await, "");
    assert_eq!(ask(&clients, "plain").await, "");
    assert_eq!(ask(&of_second, "plain").await, "second");
}

#[tokio::test]
async fn by_the_address_of_the_socket() {
    // The addresses are known only after binding, so the router asks for them when a client
    // connects.
    let server = Server::bind(["127.0.0.1:0", "[::1]:0"]).start(
        Router::new()
            .route(
                |conn| matches!(conn.local_addr(), Ok(Addr::Tcp(SocketAddr::V6(_)))),
                named("v6"),
            )
            .fallback(named("v4")),
    );
    let server = server.await.unwrap();
    for (addr, expected) in server.local_addrs().zip(["v4", "v6"]) {
        let addr = addr.socket_addr().unwrap();
        let mut client = tokio::net::TcpStream::connect(addr).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn clients_without_a_route_are_refused_as_configured() {
    for (refusal, expected) in [
        (Refusal::Close, ""),
        (Refusal::message("wrong number\n"), "wrong number\n"),
    ] {
        let router = Router::new()
            .route(protocol(Protocol::Ssh), named("ssh"))
            .refusal(refusal);
        let (server, clients) = start(router).await;
        assert_eq!(ask(&clients, "hello").await, expected);
        let ended = server.ends.of(1).await;
        assert!(
            matches!(&ended, Outcome::Rejected(why) if why.reason() == "no route"),
            "{ended}"
        );
        assert_eq!(ask(&clients, "SSH-").await, "ssh");
        assert!(matches!(server.ends.of(2).await, Outcome::Completed));
    }
    // Without any routes, every client uses the fallback.
    let (server, clients) = start(Router::new()).await;
    assert_eq!(ask(&clients, "SSH-").await, "");
    assert!(matches!(server.ends.of(1).await, Outcome::Rejected(_)));
}

#[tokio::test(start_paused = true)]
async fn the_result_of_a_route_is_the_outcome_and_a_panic_ends_one_connection_only() {
    let router = Router::new()
        .route(
            |conn| conn.id() == 1,
            handle(|_: Connection| async { Err(std::io::Error::other("broken")) }),
        )
        .route(
            |conn| conn.id() == 2 && panic!("in a condition"),
            named("never"),
        )
        .fallback(named("else"));
    // There are no outer layers, so the condition runs right after the accept.
    let (listener, clients) = MemoryListener::new();
    let ends = Ends::default();
    let server = Server::new(listener).observe(ends.clone());
    let server = server.start(router).await.unwrap();
    assert_eq!(ask(&clients, "hello").await, "");
    assert!(matches!(ends.of(1).await, Outcome::Failed(error) if error.to_string() == "broken"));
    assert_eq!(ask(&clients, "hello").await, "");
    let ended = ends.of(2).await;
    assert!(
        matches!(&ended, Outcome::Panicked(what) if &**what == "in a condition"),
        "{ended}"
    );
    assert_eq!(ask(&clients, "hello").await, "else");
    assert_eq!(server.connection_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_router_may_be_the_service_of_a_route() {
    let inner = Router::new()
        .route(server_name(["a.test"]).unwrap(), named("a"))
        .fallback(named("other"));
    let router = Router::new()
        .route(protocol(Protocol::Tls), inner)
        .fallback(named("plain"));
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener).layer(SniffLayer::new());
    let _server = server.start(router).await.unwrap();
    assert_eq!(ask(&clients, asks_for("a.test")).await, "a");
    assert_eq!(ask(&clients, asks_for("b.test")).await, "other");
    assert_eq!(ask(&clients, "b.test").await, "plain");
}
