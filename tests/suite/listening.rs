//! The addresses a server can listen on, and the errors for all others.

use crate::{
    port::Port,
    support::{
        Dir, LONG, connect, connect_to, echo, echoes, refusal, rest, serve, stop, unix, until,
    },
};
use reagent::{
    Acceptor, Addr, Bind, BoxError, Connection, Error, IntoBinds, Listener, Server, ServerHandle,
    SocketListener, handle,
};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    time::Duration,
};
use tokio::{
    io::{AsyncWriteExt, BufStream},
    net::{TcpStream, UnixStream},
};
use tower::util::MapRequestLayer;

/// A loopback address that is not the usual one.
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[tokio::test]
async fn a_server_echoes() {
    let server = Server::bind("127.0.0.1:0")
        .start(handle(echo))
        .await
        .unwrap();
    let mut client = connect(&server).await;
    assert!(echoes(&mut client, "hello").await);
    drop(client);
    let report = server.drain(Duration::from_secs(5)).await;
    assert_eq!(report.aborted, 0);
}

async fn serves_all(addrs: impl IntoBinds) -> ServerHandle {
    let server = serve(addrs).await;
    for addr in server.local_addrs() {
        assert_ne!(addr.port(), Some(0));
        assert!(
            echoes(&mut connect_to(&addr).await, "hello").await,
            "{addr}"
        );
    }
    server
}

#[tokio::test]
async fn an_address_may_be_written_in_many_ways() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    for text in [
        "127.0.0.1:0",
        "[::1]:0",
        "localhost:0",
        "tcp://127.0.0.1:0",
        "tcp://[::1]:0",
    ] {
        assert_eq!(serves_all(text).await.local_addrs().count(), 1, "{text}");
    }
    assert!(serves_all(v4).await.local_addr().ip().unwrap().is_ipv4());
    assert!(serves_all(v6).await.local_addr().ip().unwrap().is_ipv6());
    serves_all(String::from("127.0.0.1:0")).await;
    serves_all((Ipv4Addr::LOCALHOST, 0)).await;
    serves_all((Ipv6Addr::LOCALHOST, 0)).await;
}

#[tokio::test]
async fn several_addresses_are_served_in_the_order_they_were_given() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let families = |server: ServerHandle| {
        server
            .local_addrs()
            .map(|addr| addr.ip().unwrap().is_ipv6())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        families(serves_all(["[::1]:0", "127.0.0.1:0"]).await),
        [true, false]
    );
    assert_eq!(
        families(serves_all([v4, v6, v4]).await),
        [false, true, false]
    );
    assert_eq!(
        families(serves_all(vec!["127.0.0.1:0", "[::1]:0"]).await),
        [false, true]
    );
    assert_eq!(families(serves_all(&[v6, v4][..]).await), [true, false]);
}

#[tokio::test]
async fn a_wildcard_serves_every_address() {
    let server = serve("0.0.0.0:0").await;
    let port = server.local_addr().port().unwrap();
    for ip in [Ipv4Addr::LOCALHOST, OTHER] {
        let mut client = TcpStream::connect((ip, port)).await.unwrap();
        assert!(echoes(&mut client, "hello").await, "{ip}");
    }
}

#[tokio::test]
async fn an_ipv6_wildcard_serves_ipv4_if_configured() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
    let dual = Server::bind("[::]:0").options(|options| options.only_v6 = Some(false));
    let dual = dual.start(handle(echo)).await.unwrap();
    let port = dual.local_addr().port().unwrap();
    let mut v4 = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .unwrap();
    let mut v6 = TcpStream::connect((Ipv6Addr::LOCALHOST, port))
        .await
        .unwrap();
    assert!(echoes(&mut v4, "v4").await);
    assert!(echoes(&mut v6, "v6").await);

    let port = Port::new();
    let alone = Server::bind(port.at(Ipv6Addr::UNSPECIFIED));
    let alone = alone.options(|options| options.only_v6 = Some(true));
    let _alone = alone.start(handle(echo)).await.unwrap();
    let mut v6 = TcpStream::connect(port.at(Ipv6Addr::LOCALHOST))
        .await
        .unwrap();
    assert!(echoes(&mut v6, "v6").await);
    let refused = TcpStream::connect(port.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

async fn reaches(ip: impl Into<std::net::IpAddr>, port: u16) -> bool {
    let ip = ip.into();
    let mut client = TcpStream::connect((ip, port)).await.unwrap();
    echoes(&mut client, "hello").await
}

#[tokio::test]
async fn both_families_of_one_port_are_served() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
    let claimed = Port::new();
    let port = claimed.number();
    for (v4, v6) in [
        ("0.0.0.0", "[::]"),
        ("127.0.0.1", "[::]"),
        ("127.0.0.1", "[::1]"),
    ] {
        let (v4, v6) = (format!("{v4}:{port}"), format!("{v6}:{port}"));
        for addrs in [[&v4, &v6], [&v6, &v4]] {
            let server = serve(addrs).await;
            assert!(reaches(Ipv4Addr::LOCALHOST, port).await, "{addrs:?}");
            assert!(reaches(Ipv6Addr::LOCALHOST, port).await, "{addrs:?}");
            assert_eq!(server.local_addrs().count(), 2);
            stop(&server).await;
        }
    }
}

#[tokio::test]
async fn a_star_stands_for_all_interfaces_of_both_families() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
    for text in ["*:0", ":0", "tcp://*:0", "tcp://:0"] {
        let server = serve(text).await;
        let addrs: Vec<_> = server.local_addrs().map(|addr| addr.to_string()).collect();
        let port = server.local_addr().port().unwrap();
        assert_eq!(addrs, [format!("0.0.0.0:{port}"), format!("[::]:{port}")]);
        assert!(reaches(OTHER, port).await);
        assert!(reaches(Ipv6Addr::LOCALHOST, port).await);
        stop(&server).await;
    }
    // This holds whatever options are set. Otherwise the two sockets would conflict.
    let server = Server::bind(("*", 0)).options(|options| options.only_v6 = Some(false));
    let server = server.start(handle(echo)).await.unwrap();
    assert_eq!(server.local_addrs().count(), 2);
}

#[tokio::test]
async fn an_address_that_is_given_twice_is_said_to_be_so() {
    let claimed = Port::new();
    let port = claimed.number();
    let addr = format!("127.0.0.1:{port}");
    let twice = "this server listens on the same address twice; remove one of the two";
    for second in [&addr, &format!("localhost:{port}")] {
        assert_eq!(
            refusal([&addr, second]).await,
            format!("cannot listen on {second:?}: {twice}")
        );
    }
    let dir = Dir::new();
    let path = unix(&dir.path("app.sock"));
    let message = format!("cannot listen on {path:?}: {twice}");
    assert_eq!(refusal([&path, &path]).await, message);

    let wildcard = format!("0.0.0.0:{port}");
    let message = refusal([&addr, &wildcard]).await;
    let overlap = format!(
        "cannot listen on {wildcard}: {wildcard} overlaps {addr}, where this server listens too; \
         remove one of the two: "
    );
    assert!(message.starts_with(&overlap), "{message}");

    // Two free ports are two addresses.
    serves_all(["127.0.0.1:0", "127.0.0.1:0"]).await;
}

#[tokio::test]
async fn whatever_people_have_can_be_listened_on() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
    let v4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    let v6 = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0, 0, 0);
    serves_all(v4).await;
    serves_all(v6).await;
    serves_all([v4, v4]).await;
    serves_all(&[v6]).await;
    serves_all(&vec![SocketAddr::from(v4)]).await;
    serves_all(([127, 0, 0, 1], 0)).await;
    serves_all(("127.0.0.1", 0)).await;
    serves_all(("::1", 0)).await;
    serves_all(("localhost", 0)).await;
    serves_all([(String::from("localhost"), 0)]).await;
    serves_all(Addr::from(SocketAddr::from(v4))).await;
    serves_all(&Addr::from(SocketAddr::from(v6))).await;
    serves_all(std::net::TcpListener::bind(v4).unwrap()).await;
    serves_all(vec![
        tokio::net::TcpListener::bind(v4).await.unwrap(),
        tokio::net::TcpListener::bind(v6).await.unwrap(),
    ])
    .await;
    serves_all(socket2::Socket::from(
        std::net::TcpListener::bind(v4).unwrap(),
    ))
    .await;
    let listener = || SocketListener::try_from(std::net::TcpListener::bind(v4).unwrap()).unwrap();
    serves_all(listener()).await;
    let boxed: Vec<Box<dyn Listener>> = vec![Box::new(listener()), Box::new(listener())];
    assert_eq!(serves_all(boxed).await.local_addrs().count(), 2);

    let server = Server::new("127.0.0.1:0")
        .listen(std::net::TcpListener::bind(v4).unwrap())
        .listen(["127.0.0.1:0", "[::1]:0"]);
    let server = server.start(handle(echo)).await.unwrap();
    assert_eq!(server.local_addrs().count(), 4);

    for (addr, reason) in [
        (
            Bind::from(("", 80)),
            "the host is empty; write \"*\" for all interfaces",
        ),
        (
            Bind::from(Addr::Unix(None)),
            "the address cannot be bound; expected a TCP address or a Unix path",
        ),
        (
            Bind::from(Addr::Other("memory:1".into())),
            "the address cannot be bound; expected a TCP address or a Unix path",
        ),
    ] {
        let message = format!("cannot listen on {:?}: {reason}", addr.to_string());
        assert_eq!(refusal(addr).await, message);
    }
}

#[tokio::test]
async fn an_error_does_not_repeat_its_source() {
    let taken = serve("127.0.0.1:0").await;
    let addr = taken.local_addr().to_string();
    let error = Server::bind(&addr).start(handle(echo)).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert!(!error.to_string().contains(&source.to_string()), "{error}");
    let source = source.downcast_ref::<io::Error>().unwrap();
    assert_eq!(source.kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn tcp_and_unix_addresses_are_one_server() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let server = serve(["127.0.0.1:0", &unix(&path)]).await;
    let mut tcp = connect(&server).await;
    let mut local = UnixStream::connect(&path).await.unwrap();
    assert!(echoes(&mut tcp, "tcp").await);
    assert!(echoes(&mut local, "unix").await);
    assert_eq!(server.connection_count(), 2);
    let listeners: Vec<_> = server
        .connections()
        .into_iter()
        .map(|info| info.listener_addr)
        .collect();
    assert_eq!(listeners, server.local_addrs().collect::<Vec<_>>());
    assert_eq!(listeners[1], Addr::Unix(Some(path.as_path().into())));
    drop((tcp, local));
    stop(&server).await;
}

#[tokio::test]
async fn all_addresses_are_bound_or_none() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let blocker = serve("127.0.0.1:0").await;
    let taken = blocker.local_addr().clone();
    let port = Port::new();
    let free = port.addr();

    let addrs = [free.to_string(), unix(&path), taken.to_string()];
    let error = Server::bind(&addrs[..])
        .start(handle(echo))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot listen on {taken}: ")),
        "{error}"
    );
    assert!(!path.exists());
    drop(std::net::TcpListener::bind(free).unwrap());
    assert!(echoes(&mut connect(&blocker).await, "still there").await);
}

#[tokio::test]
async fn a_port_in_use_is_named_and_so_is_the_way_out() {
    let taken = serve("127.0.0.1:0").await;
    let addr = taken.local_addr().to_string();
    let message = format!(
        "cannot listen on {addr}: another server listens there; stop it or choose another \
         address: Address already in use (os error 98)"
    );
    assert_eq!(refusal(addr).await, message);
}

#[tokio::test]
async fn invalid_addresses_are_quoted_with_what_they_lack() {
    for (text, reason) in [
        (
            "",
            "a port is missing; expected host:port, unix:/path or systemd:NAME",
        ),
        (
            "localhost",
            "a port is missing; expected host:port, unix:/path or systemd:NAME",
        ),
        (
            "/run/app.sock",
            "a port is missing; expected host:port, unix:/path or systemd:NAME",
        ),
        (
            "127.0.0.1:+80",
            "expected host:port with a port from 0 to 65535",
        ),
        (
            "127.0.0.1:http",
            "expected host:port with a port from 0 to 65535",
        ),
        (
            "127.0.0.1:99999",
            "expected host:port with a port from 0 to 65535",
        ),
        ("[::1]", "expected host:port with a port from 0 to 65535"),
        (
            "tcp://127.0.0.1",
            "expected host:port with a port from 0 to 65535",
        ),
        (
            "http://127.0.0.1:0",
            "unknown scheme; expected tcp://, unix: or systemd:",
        ),
        (
            "::1:8080",
            "an IPv6 address must be in brackets, as in [::1]:8080",
        ),
        ("unix:", "a path is missing after unix:"),
    ] {
        assert_eq!(
            refusal(text).await,
            format!("cannot listen on {text:?}: {reason}")
        );
    }
}

#[tokio::test]
async fn an_address_that_no_interface_has_is_said_to_be_so() {
    // Reserved for documentation, so no interface has it (RFC 5737).
    let message = refusal("192.0.2.1:0").await;
    assert!(
        message.starts_with(
            "cannot listen on 192.0.2.1:0: no interface of this machine has the address 192.0.2.1: "
        ),
        "{message}"
    );
}

#[tokio::test]
async fn a_server_of_nothing_does_not_start() {
    let server = Server::bind(Vec::<SocketAddr>::new());
    let error = server.start(handle(echo)).await.unwrap_err();
    assert!(matches!(error, Error::NoListener));
    assert_eq!(
        error.to_string(),
        "cannot start a server that has nothing to listen on; give it an address"
    );
}

#[tokio::test]
async fn a_path_that_cannot_be_made_is_named() {
    let dir = Dir::new();
    let missing = unix(&dir.path("missing/app.sock"));
    let message = format!(
        "cannot listen on {missing}: the directory does not exist: No such file or directory (os \
         error 2)"
    );
    assert_eq!(refusal(missing).await, message);

    let long = unix(&dir.path(&"x".repeat(200)));
    assert!(
        refusal(long.clone())
            .await
            .starts_with(&format!("cannot listen on {long}: "))
    );

    // No user can create files in sysfs, not even root.
    let message = refusal("unix:/sys/app.sock").await;
    assert!(
        message.starts_with(
            "cannot listen on unix:/sys/app.sock: this user may not create files in the directory: "
        ),
        "{message}"
    );
}

#[tokio::test]
async fn a_server_starts_and_stops_ten_times_on_one_port() {
    let port = Port::new();
    for round in 0..10 {
        let server = serve(port.addr()).await;
        assert!(
            echoes(&mut connect(&server).await, "hello").await,
            "round {round}"
        );
        // The side that closes first keeps the port in `TIME_WAIT`. Here it is the server.
        let mut open = connect(&server).await;
        assert!(echoes(&mut open, "hello").await);
        let report = server.drain(Duration::ZERO).await;
        assert_eq!(report.aborted, 1, "round {round}");
        let _ = rest(&mut open).await;
    }
}

#[tokio::test]
async fn a_stopped_server_has_closed_its_port() {
    let ports = [Port::new(), Port::new()];
    let drained = serve(ports[0].addr()).await;
    let aborted = serve(ports[1].addr()).await;
    for server in [&drained, &aborted] {
        assert!(echoes(&mut connect(server).await, "hello").await);
    }
    drained.drain(LONG).await;
    aborted.abort();
    aborted.wait().await.unwrap();
    for server in [&drained, &aborted] {
        let addr = server.local_addr().socket_addr().unwrap();
        let refused = TcpStream::connect(addr).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}

#[tokio::test]
async fn a_start_that_is_cancelled_leaves_nothing_behind() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let make = tower::service_fn(|_: Acceptor| async {
        std::future::pending::<()>().await;
        Ok::<_, BoxError>(handle(echo))
    });
    tokio::select! {
        _ = Server::bind(unix(&path)).start_make(make) => panic!("started without a service"),
        () = until("the path is there", || path.exists()) => {}
    }
    until("the path is gone", || !path.exists()).await;
}

/// Sends the client the local address of its connection.
async fn tell_local_addr(mut conn: Connection) -> io::Result<()> {
    let addr = conn.local_addr()?.to_string();
    conn.write_all(addr.as_bytes()).await
}

#[tokio::test]
async fn a_connection_knows_the_address_that_its_client_connected_to() {
    let fixed = Server::bind("127.0.0.1:0")
        .start(handle(tell_local_addr))
        .await
        .unwrap();
    let told = rest(&mut connect(&fixed).await).await.unwrap();
    assert_eq!(told, fixed.local_addr().to_string().as_bytes());

    let wildcard = Server::bind("0.0.0.0:0")
        .start(handle(tell_local_addr))
        .await
        .unwrap();
    let wrapped = Server::bind("0.0.0.0:0")
        .layer(MapRequestLayer::new(|conn: Connection| {
            conn.map_io(BufStream::new)
        }))
        .layer(MapRequestLayer::new(|conn: Connection<BufStream<_>>| {
            conn.map_io(BufStream::new)
        }))
        .start(handle(|mut conn: Connection| async move {
            let addr = conn.local_addr()?.to_string();
            conn.write_all(addr.as_bytes()).await?;
            conn.flush().await
        }))
        .await
        .unwrap();
    for server in [wildcard, wrapped] {
        let addr = SocketAddr::from((OTHER, server.local_addr().port().unwrap()));
        let told = rest(&mut TcpStream::connect(addr).await.unwrap())
            .await
            .unwrap();
        assert_eq!(told, addr.to_string().as_bytes());
    }
}
