//! Options of a listening socket apply to the connections it accepts, and to no others.

use crate::support::{Dir, connect_to, echo, echoes, keep_sockets, rest, stop, unix};
use reagent::{Connection, ErrorChain, Keepalive, Server, ServerHandle, SocketOptions, handle};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::{io, time::Duration};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

const KIB: usize = 1024;

/// The options of an accepted socket, as reported by the kernel.
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

/// Starts a server on all kinds of addresses that sends the options to the test.
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

/// Returns the options of connections over IPv4, IPv6 and a Unix socket.
async fn find(change: impl FnOnce(&mut SocketOptions)) -> [Found; 3] {
    let dir = Dir::new();
    let (sender, mut found) = unbounded_channel();
    let server = start(&dir, &sender, change).await;
    let mut all = Vec::new();
    for addr in server.local_addrs() {
        match addr.path() {
            Some(path) => drop(rest(&mut UnixStream::connect(path).await.unwrap()).await),
            None => drop(rest(&mut connect_to(&addr).await).await),
        }
        all.push(found.recv().await.unwrap());
    }
    stop(&server).await;
    all.try_into().unwrap()
}

#[tokio::test]
async fn small_writes_go_out_at_once_unless_told_otherwise() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
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
    if crate::skipped::lacks_ipv6() {
        return;
    }
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
    if crate::skipped::lacks_ipv6() {
        return;
    }
    let [v4, ..] = find(|options| options.tos = Some(0x10)).await;
    assert_eq!(v4.tos, Some(0x10));
}

#[tokio::test]
async fn accepted_sockets_of_every_kind_have_the_buffers_that_were_asked_for() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
    let all = find(|options| {
        options.recv_buffer = Some(48 * KIB);
        options.send_buffer = Some(24 * KIB);
    })
    .await;
    for found in all {
        // Linux doubles them to have room for its own records (see `socket(7)`).
        assert_eq!((found.recv_buffer, found.send_buffer), (96 * KIB, 48 * KIB));
    }
}

#[tokio::test]
async fn options_of_one_server_are_not_those_of_another() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
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

/// Returns the error of a start with these options.
async fn refused(change: impl FnOnce(&mut SocketOptions)) -> String {
    let server = Server::bind("127.0.0.1:0").options(change);
    ErrorChain(&server.start(handle(echo)).await.unwrap_err()).to_string()
}

#[tokio::test]
async fn an_option_that_the_system_refuses_is_named_with_its_value() {
    let keepalive = |change: fn(&mut Keepalive)| {
        let mut keepalive = Keepalive::default();
        change(&mut keepalive);
        Some(keepalive)
    };
    for (message, expected) in [
        (
            refused(|options| options.device = Some("no-such-device".to_owned())).await,
            "cannot set SO_BINDTODEVICE to \"no-such-device\"; expected the name of an interface, \
             and before Linux 5.7 CAP_NET_RAW: No such device (os error 19)",
        ),
        (
            refused(|options| options.congestion = Some("no-such-control".to_owned())).await,
            "cannot set TCP_CONGESTION to \"no-such-control\"; see \
             /proc/sys/net/ipv4/tcp_allowed_congestion_control: No such file or directory (os \
             error 2)",
        ),
        (
            refused(|options| {
                options.keepalive = keepalive(|times| times.idle = Some(Duration::ZERO));
            })
            .await,
            "cannot set TCP_KEEPIDLE to 0ns: Invalid argument (os error 22)",
        ),
        (
            refused(|options| {
                let long = Duration::from_secs(40_000);
                options.keepalive = Some(Keepalive::after(long));
            })
            .await,
            "cannot set TCP_KEEPIDLE to 40000s: Invalid argument (os error 22)",
        ),
        (
            refused(|options| {
                options.keepalive = keepalive(|times| times.retries = Some(u32::MAX));
            })
            .await,
            "cannot set TCP_KEEPCNT to 4294967295: invalid input parameter",
        ),
        (
            refused(|options| options.before_bind(|_| Err(io::Error::other("no")))).await,
            "the `before_bind` hook failed: no",
        ),
    ] {
        assert_eq!(message, format!("cannot listen on 127.0.0.1:0: {expected}"));
    }
}

#[tokio::test]
async fn times_that_the_kernel_cannot_count_are_rounded_up() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
    let [v4, v6, _] = find(|options| {
        let mut keepalive = Keepalive::after(Duration::from_millis(500));
        keepalive.interval = Some(Duration::from_millis(1_001));
        options.keepalive = Some(keepalive);
        options.user_timeout = Some(Duration::from_micros(1_500));
    })
    .await;
    for found in [v4, v6] {
        let (idle, interval, _) = found.keepalive.unwrap();
        assert_eq!((idle.as_secs(), interval.as_secs()), (1, 2));
        assert_eq!(found.user_timeout, Some(Duration::from_millis(2)));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn options_that_only_linux_has_are_set() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
    let mut sockets = None;
    let server = Server::bind(["127.0.0.1:0", "[::1]:0"]).options(|options| {
        options.congestion = Some("reno".to_owned());
        options.notsent_lowat = Some(16_384);
        options.incoming_cpu = Some(0);
        options.tclass = Some(0x20);
        sockets = Some(keep_sockets(options));
    });
    let server = server.start(handle(echo)).await.unwrap();
    let sockets = sockets.unwrap();
    for socket in sockets.lock().unwrap().iter() {
        assert!(socket.tcp_congestion().unwrap().starts_with(b"reno"));
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), 16_384);
        assert_eq!(socket.cpu_affinity().unwrap(), 0);
        assert!(!socket.reuse_port().unwrap());
    }
    assert_eq!(sockets.lock().unwrap()[1].tclass_v6().unwrap(), 0x20);
    stop(&server).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn addresses_of_others_can_be_bound_where_the_system_lets_one() {
    for addr in ["192.0.2.1:0", "[2001:db8::1]:0"] {
        let server = Server::bind(addr).options(|options| options.transparent = true);
        match server.start(handle(echo)).await {
            Ok(server) => stop(&server).await,
            Err(error) => assert!(
                error
                    .to_string()
                    .contains("IP_TRANSPARENT to true; it needs CAP_NET_ADMIN"),
                "{error}"
            ),
        }
    }
}

/// Selects the task of the child process. Without it, `a_child` does nothing.
const TASK: &str = "REAGENT_TEST_OPTIONS";

#[tokio::test]
async fn a_child() {
    if std::env::var_os(TASK).is_some() {
        let (_dir, addrs) = (Dir::new(), ["127.0.0.1:0", "[::1]:0"]);
        stop(&crate::support::serve(addrs).await).await;
    }
}

/// Before Linux 5.7, even an empty `SO_BINDTODEVICE` required CAP_NET_RAW (`sock_setbindtodevice`).
#[cfg(target_os = "linux")]
#[tokio::test]
async fn only_options_that_were_asked_for_are_set() {
    let test = "socket_options::a_child";
    let Some(calls) = crate::support::traced("setsockopt", test, TASK).await else {
        return;
    };
    let mut set: Vec<_> = calls
        .lines()
        .filter_map(|line| line.split(", ").nth(2))
        .collect();
    set.sort_unstable();
    set.dedup();
    // The filter belongs to the drain, not to the options.
    let expected = ["SO_ATTACH_FILTER", "SO_REUSEADDR", "TCP_NODELAY"];
    assert_eq!(set, expected, "{calls}");
}

#[tokio::test]
async fn an_address_that_is_not_there_yet_can_be_bound_where_that_is_asked_for() {
    // Reserved for documentation, so no interface has it (RFC 5737).
    let server = Server::bind("192.0.2.1:0").options(|options| options.freebind = true);
    let server = server.start(handle(echo)).await.unwrap();
    assert_eq!(server.local_addr().ip(), Some([192, 0, 2, 1].into()));
    stop(&server).await;
}

/// Connects without blocking. Only Unix sockets report a full queue at once (see `unix(7)`).
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
    // The kernel admits one more than the configured number.
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
    // A local connect completes before the call returns, or stays pending.
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
