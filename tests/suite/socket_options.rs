//! Options of a listening socket are those of the connections it accepts, and of no others.

use crate::support::{Dir, connect_to, echo, echoes, rest, stop, unix};
use reagent::{Connection, Keepalive, Server, ServerHandle, SocketOptions, handle};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::{io, time::Duration};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

const KIB: usize = 1024;

/// What the kernel says of an accepted socket.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    nodelay: Option<bool>,
    keepalive: Option<(Duration, Duration, u32)>,
    recv_buffer: usize,
    send_buffer: usize,
    user_timeout: Option<Duration>,
    tos: Option<u32>,
}

fn look(conn: &Connection) -> io::Result<Found> {
    let descriptor = conn.socket()?;
    let socket = SockRef::from(&descriptor);
    let is_tcp = conn.peer_addr().socket_addr().is_some();
    let is_v4 = conn.peer_addr().ip().is_some_and(|ip| ip.is_ipv4());
    let times = || -> io::Result<_> {
        let (idle, interval) = (
            socket.tcp_keepalive_time()?,
            socket.tcp_keepalive_interval()?,
        );
        Ok((idle, interval, socket.tcp_keepalive_retries()?))
    };
    Ok(Found {
        nodelay: is_tcp.then(|| socket.tcp_nodelay()).transpose()?,
        keepalive: socket.keepalive()?.then(times).transpose()?,
        recv_buffer: socket.recv_buffer_size()?,
        send_buffer: socket.send_buffer_size()?,
        user_timeout: is_tcp
            .then(|| socket.tcp_user_timeout())
            .transpose()?
            .flatten(),
        tos: is_v4.then(|| socket.tos_v4()).transpose()?,
    })
}

/// Starts a server of all kinds of addresses that tells what it finds.
async fn start(
    dir: &Dir,
    found: &UnboundedSender<Found>,
    change: impl FnOnce(&mut SocketOptions),
) -> ServerHandle {
    let found = found.clone();
    Server::bind(["127.0.0.1:0", "[::1]:0", &unix(&dir.path("app.sock"))])
        .options(change)
        .start(handle(move |conn: Connection| {
            let found = found.clone();
            async move {
                found.send(look(&conn)?).expect("a test that listens");
                io::Result::Ok(())
            }
        }))
        .await
        .unwrap()
}

/// What connections over IPv4, IPv6 and a path have.
async fn find(change: impl FnOnce(&mut SocketOptions)) -> [Found; 3] {
    let dir = Dir::new();
    let (sender, mut found) = unbounded_channel();
    let server = start(&dir, &sender, change).await;
    let mut all = Vec::new();
    for addr in server.local_addrs() {
        match addr.path() {
            Some(path) => drop(rest(&mut UnixStream::connect(path).await.unwrap()).await),
            None => drop(rest(&mut connect_to(addr).await).await),
        }
        all.push(found.recv().await.unwrap());
    }
    stop(&server).await;
    all.try_into().unwrap()
}

#[tokio::test]
async fn small_writes_go_out_at_once_unless_told_otherwise() {
    let [v4, v6, path] = find(|_| {}).await;
    assert_eq!(
        (v4.nodelay, v6.nodelay, path.nodelay),
        (Some(true), Some(true), None)
    );
    let [v4, v6, _] = find(|options| options.nodelay = false).await;
    assert_eq!((v4.nodelay, v6.nodelay), (Some(false), Some(false)));
}

#[tokio::test]
async fn accepted_sockets_have_the_options_of_their_listener() {
    let all = find(|options| {
        let mut keepalive = Keepalive::after(Duration::from_secs(77));
        keepalive.interval = Some(Duration::from_secs(11));
        keepalive.retries = Some(5);
        options.keepalive = Some(keepalive);
        options.user_timeout = Some(Duration::from_millis(12_345));
    })
    .await;
    for found in &all[..2] {
        let keepalive = Some((Duration::from_secs(77), Duration::from_secs(11), 5));
        assert_eq!(found.keepalive, keepalive);
        assert_eq!(found.user_timeout, Some(Duration::from_millis(12_345)));
    }
}

#[tokio::test]
async fn ipv4_connections_have_the_type_of_service_that_was_asked_for() {
    let [v4, ..] = find(|options| options.tos = Some(0x10)).await;
    assert_eq!(v4.tos, Some(0x10));
}

#[tokio::test]
async fn accepted_sockets_of_every_kind_have_the_buffers_that_were_asked_for() {
    let all = find(|options| {
        options.recv_buffer = Some(48 * KIB);
        options.send_buffer = Some(24 * KIB);
    })
    .await;
    for found in all {
        // Linux doubles them, to have room for its own records (`socket(7)`).
        assert_eq!((found.recv_buffer, found.send_buffer), (96 * KIB, 48 * KIB));
    }
}

#[tokio::test]
async fn options_of_one_server_are_not_those_of_another() {
    let plain = find(|_| {}).await;
    let dir = Dir::new();
    let (sender, _found) = unbounded_channel();
    let other = start(&dir, &sender, |options| {
        options.nodelay = false;
        options.keepalive = Some(Keepalive::default());
        options.user_timeout = Some(Duration::from_secs(1));
        options.recv_buffer = Some(48 * KIB);
        options.tos = Some(0x10);
    })
    .await;
    assert_eq!(find(|_| {}).await, plain);
    assert!(plain.iter().all(|found| found.keepalive.is_none()));
    stop(&other).await;
}

#[tokio::test]
async fn an_option_that_the_system_refuses_fails_the_start() {
    let server = Server::bind("127.0.0.1:0");
    let server = server.options(|options| options.device = Some("no-such-device".to_owned()));
    let error = server.start(handle(echo)).await.unwrap_err().to_string();
    assert!(
        error.starts_with("cannot listen on 127.0.0.1:0: "),
        "{error}"
    );
}

#[tokio::test]
async fn an_address_that_is_not_there_yet_can_be_bound_where_that_is_asked_for() {
    // Set aside for documentation, so nobody has it (RFC 5737).
    let server = Server::bind("192.0.2.1:0").options(|options| options.freebind = true);
    let server = server.start(handle(echo)).await.unwrap();
    assert_eq!(server.local_addr().ip(), Some([192, 0, 2, 1].into()));
    stop(&server).await;
}

/// Connects without waiting; whoever finds a full queue is told so at once, which only Unix sockets do
/// (`unix(7)`).
fn connect_now(addr: &SockAddr) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(addr)?;
    UnixStream::from_std(socket.into())
}

#[tokio::test]
async fn as_many_clients_wait_as_the_backlog_holds() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let addr = SockAddr::unix(&path).unwrap();
    let server = Server::bind(unix(&path)).options(|options| options.backlog = 4);
    let server = server.acceptors(0).start(handle(echo)).await.unwrap();
    let mut waiting = Vec::new();
    let full = loop {
        match connect_now(&addr) {
            Ok(client) if waiting.len() < 100 => waiting.push(client),
            Ok(_) => panic!("the backlog is not honoured"),
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    // The kernel lets in one more than the number says.
    assert_eq!(waiting.len(), 5);
    server.set_acceptors(1);
    for client in &mut waiting {
        assert!(echoes(client, "waited").await);
    }
    assert!(echoes(&mut UnixStream::connect(&path).await.unwrap(), "came later").await);
    drop(waiting);
    stop(&server).await;
}

#[tokio::test]
async fn a_tcp_queue_that_is_full_takes_no_more() {
    let server = Server::bind("127.0.0.1:0").options(|options| options.backlog = 4);
    let server = server.acceptors(0).start(handle(echo)).await.unwrap();
    let addr = SockAddr::from(server.local_addr().socket_addr().unwrap());
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(connect_to(server.local_addr()).await);
    }
    // Connecting to this machine is done when the call returns, or does not get on.
    let late: Vec<_> = (0..20)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&addr);
            socket
        })
        .collect();
    assert!(
        late.iter().all(|socket| socket.peer_addr().is_err()),
        "the backlog is not honoured"
    );
    server.set_acceptors(1);
    for client in &mut waiting {
        assert!(echoes(client, "waited").await);
    }
    drop((waiting, late));
    server.abort();
}
