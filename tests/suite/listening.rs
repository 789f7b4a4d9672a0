//! What can be listened on, and what is said where it cannot.

use crate::support::{
    Dir, LONG, connect, connect_to, echo, echoes, own_ip, rest, serve, stop, unix, until,
};
use reagent::{
    Acceptor, Addr, BoxError, Connection, Error, IntoBinds, Server, ServerHandle, handle,
};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncWriteExt, BufStream},
    net::{TcpStream, UnixStream},
};
use tower::util::MapRequestLayer;

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
        assert!(echoes(&mut connect_to(addr).await, "hello").await, "{addr}");
    }
    server
}

#[tokio::test]
async fn an_address_may_be_written_in_many_ways() {
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
    for ip in [Ipv4Addr::LOCALHOST, own_ip()] {
        let mut client = TcpStream::connect((ip, port)).await.unwrap();
        assert!(echoes(&mut client, "hello").await, "{ip}");
    }
}

#[tokio::test]
async fn an_ipv6_wildcard_serves_ipv4_where_it_is_told_to() {
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

    let alone = Server::bind("[::]:0").options(|options| options.only_v6 = Some(true));
    let alone = alone.start(handle(echo)).await.unwrap();
    let port = alone.local_addr().port().unwrap();
    let mut v6 = TcpStream::connect((Ipv6Addr::LOCALHOST, port))
        .await
        .unwrap();
    assert!(echoes(&mut v6, "v6").await);
    let refused = TcpStream::connect((own_ip(), port)).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
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
    assert_eq!(listeners, server.local_addrs().cloned().collect::<Vec<_>>());
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
    let free = std::net::TcpListener::bind((own_ip(), 0))
        .unwrap()
        .local_addr()
        .unwrap();

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

/// Why a server of these cannot be started.
async fn refusal(addrs: impl IntoBinds) -> String {
    Server::bind(addrs)
        .start(handle(echo))
        .await
        .unwrap_err()
        .to_string()
}

#[tokio::test]
async fn a_port_in_use_is_named_and_so_is_the_way_out() {
    let taken = serve("127.0.0.1:0").await;
    let addr = taken.local_addr().to_string();
    let message = format!(
        "cannot listen on {addr}: Address already in use (os error 98); another server listens \
         there; stop it or choose another address"
    );
    assert_eq!(refusal(addr).await, message);
}

#[tokio::test]
async fn what_is_no_address_is_quoted_with_what_it_lacks() {
    for (text, reason) in [
        (
            "",
            "a port is missing; write host:port, unix:/path or systemd:NAME",
        ),
        (
            "localhost",
            "a port is missing; write host:port, unix:/path or systemd:NAME",
        ),
        (
            "/run/app.sock",
            "a port is missing; write host:port, unix:/path or systemd:NAME",
        ),
        ("127.0.0.1:http", "this is not of the form host:port"),
        ("127.0.0.1:99999", "this is not of the form host:port"),
        ("[::1]", "this is not of the form host:port"),
        ("tcp://127.0.0.1", "this is not of the form host:port"),
        (
            "http://127.0.0.1:0",
            "this scheme is not known; tcp://, unix: and systemd: are",
        ),
        (
            "::1:8080",
            "an IPv6 address stands in brackets, as in [::1]:8080",
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
    // Set aside for documentation, so nobody has it (RFC 5737).
    let message = refusal("192.0.2.1:0").await;
    assert!(
        message.starts_with("cannot listen on 192.0.2.1:0: "),
        "{message}"
    );
    assert!(
        message.ends_with("; no interface of this machine has that address"),
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
    let message = format!("cannot listen on {missing}: No such file or directory (os error 2)");
    assert_eq!(refusal(missing).await, message);

    let long = unix(&dir.path(&"x".repeat(200)));
    assert!(
        refusal(long.clone())
            .await
            .starts_with(&format!("cannot listen on {long}: "))
    );

    // Nobody may make files in sysfs, root included.
    let message = refusal("unix:/sys/app.sock").await;
    assert!(
        message.starts_with("cannot listen on unix:/sys/app.sock: "),
        "{message}"
    );
    assert!(
        message.ends_with(
            "; a port below 1024 needs CAP_NET_BIND_SERVICE, a path a directory one may write to"
        ),
        "{message}"
    );
}

#[tokio::test]
async fn a_server_starts_and_stops_ten_times_on_one_port() {
    let mut addr = SocketAddr::from((own_ip(), 0));
    for round in 0..10 {
        let server = serve(addr).await;
        addr = server.local_addr().socket_addr().unwrap();
        assert!(
            echoes(&mut connect(&server).await, "hello").await,
            "round {round}"
        );
        // The side that closes first keeps the port in `TIME_WAIT`: here, the server.
        let mut open = connect(&server).await;
        assert!(echoes(&mut open, "hello").await);
        let report = server.drain(Duration::ZERO).await;
        assert_eq!(report.aborted, 1, "round {round}");
        let _ = rest(&mut open).await;
    }
}

#[tokio::test]
async fn a_stopped_server_has_closed_its_port() {
    let ip = own_ip();
    let drained = serve((ip, 0)).await;
    let aborted = serve((ip, 0)).await;
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

/// Tells the client by which address it came.
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
    let ip = own_ip();
    for server in [wildcard, wrapped] {
        let addr = SocketAddr::from((ip, server.local_addr().port().unwrap()));
        let told = rest(&mut TcpStream::connect(addr).await.unwrap())
            .await
            .unwrap();
        assert_eq!(told, addr.to_string().as_bytes());
    }
}
