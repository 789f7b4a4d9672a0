//! `reuse_port`: each acceptor has a socket, and no client is lost when the number of acceptors
//! changes.
#![cfg(target_os = "linux")]

use crate::{
    port::Port,
    support::{Dir, LONG, connect, connect_to, echo, echoes, serve, stop, unix, until},
};
use reagent::{Acceptor, BoxError, Connection, ErrorChain, Server, ServerHandle, handle};
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

fn reuse_port(acceptors: usize) -> Server {
    let server = Server::bind("127.0.0.1:0").options(|options| options.reuse_port = true);
    server.acceptors(acceptors)
}

/// Starts a server that sends each client the number of its acceptor.
async fn start(server: Server) -> ServerHandle {
    let make = tower::service_fn(|acceptor: Acceptor| async move {
        let index = u8::try_from(acceptor.index).expect("few acceptors");
        Ok::<_, BoxError>(handle(move |mut conn: Connection| async move {
            conn.write_u8(index).await?;
            echo(conn).await
        }))
    });
    server.start_make(make).await.unwrap()
}

/// Counts the clients of each acceptor. All of them must be served.
async fn tally(clients: impl IntoIterator<Item = TcpStream>) -> BTreeMap<u8, usize> {
    let mut tally = BTreeMap::new();
    for mut client in clients {
        let index = tokio::time::timeout(LONG, client.read_u8())
            .await
            .expect("to be served");
        *tally.entry(index.expect("to be served")).or_default() += 1;
        assert!(echoes(&mut client, "hello").await);
    }
    tally
}

async fn connect_many(server: &ServerHandle, count: usize) -> Vec<TcpStream> {
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        clients.push(connect(server).await);
    }
    clients
}

/// Counts the sockets that listen on this address, from the kernel's table.
fn listening(addr: SocketAddr) -> usize {
    let IpAddr::V4(ip) = addr.ip() else {
        panic!("an IPv4 address is asked for")
    };
    // Local address, remote address, and the state LISTEN (see `proc(5)`).
    let local = format!(
        "{:08X}:{:04X}",
        u32::from_ne_bytes(ip.octets()),
        addr.port()
    );
    let socket = format!(" {local} 00000000:0000 0A ");
    let sockets = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    sockets
        .lines()
        .filter(|line| line.contains(&socket))
        .count()
}

#[tokio::test]
async fn each_acceptor_has_a_socket_and_gets_clients() {
    let server = start(reuse_port(4)).await;
    let addr = server.local_addr().socket_addr().unwrap();
    assert_eq!(server.local_addrs().count(), 1);
    assert_eq!(server.stats().acceptors, 4);
    assert_eq!(listening(addr), 4);
    // The probability that one of four gets none of 200 clients is 10⁻²⁴.
    let tally = tally(connect_many(&server, 200).await).await;
    assert_eq!(
        tally.keys().copied().collect::<Vec<_>>(),
        [0, 1, 2, 3],
        "{tally:?}"
    );
    stop(&server).await;
    assert_eq!(listening(addr), 0);
}

#[tokio::test]
async fn acceptors_share_a_socket_without_it() {
    let server = Server::bind("127.0.0.1:0")
        .acceptors(4)
        .start(handle(echo))
        .await
        .unwrap();
    assert_eq!(server.stats().acceptors, 4);
    assert_eq!(listening(server.local_addr().socket_addr().unwrap()), 1);
    assert!(echoes(&mut connect(&server).await, "hello").await);
}

#[tokio::test]
async fn two_servers_share_an_address() {
    let first = start(reuse_port(1)).await;
    let addr = first.local_addr().socket_addr().unwrap();
    let second = Server::bind(addr).options(|options| options.reuse_port = true);
    let second = start(second).await;
    tally(connect_many(&first, 100).await).await;
    let shares = [first.stats().accepted, second.stats().accepted];
    assert_eq!(shares.iter().sum::<u64>(), 100);
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");

    stop(&first).await;
    tally(connect_many(&second, 10).await).await;
    stop(&second).await;
}

#[tokio::test]
async fn an_address_is_shared_only_where_both_agree() {
    let alone = serve("127.0.0.1:0").await;
    let shared = start(reuse_port(2)).await;
    for (taken, reuse_port) in [(&alone, true), (&shared, false)] {
        let addr = taken.local_addr().socket_addr().unwrap();
        let server = Server::bind(addr).options(|options| options.reuse_port = reuse_port);
        let error = server.start(handle(echo)).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("cannot listen on {addr}: ")),
            "{error}"
        );
        assert!(error.contains("another server listens there"), "{error}");
    }
    assert!(echoes(&mut connect(&alone).await, "hello").await);
    tally(connect_many(&shared, 10).await).await;
}

#[tokio::test]
async fn a_pool_that_grows_opens_sockets() {
    let server = start(reuse_port(1)).await;
    let addr = server.local_addr().socket_addr().unwrap();
    assert_eq!(listening(addr), 1);
    server.set_acceptors(4);
    until("all accept", || server.stats().acceptors == 4).await;
    assert_eq!(listening(addr), 4);
    let tally = tally(connect_many(&server, 200).await).await;
    assert_eq!(
        tally.keys().copied().collect::<Vec<_>>(),
        [0, 1, 2, 3],
        "{tally:?}"
    );
    stop(&server).await;
    assert_eq!(listening(addr), 0);
}

#[tokio::test]
async fn a_pool_that_shrinks_loses_no_client_of_any_queue() {
    let server = start(reuse_port(4)).await;
    server.pause();
    let waiting = connect_many(&server, 50).await;
    server.set_acceptors(1);
    until("one is left", || server.stats().acceptors == 1).await;
    server.resume();
    let tally = tally(waiting).await;
    assert_eq!(tally, BTreeMap::from([(0, 50)]));
    // Later clients are served too, whichever queue the kernel selects.
    assert_eq!(
        self::tally(connect_many(&server, 50).await).await,
        BTreeMap::from([(0, 50)])
    );
    stop(&server).await;
}

#[tokio::test]
async fn no_client_is_lost_while_the_pool_changes_all_the_time() {
    let server = start(reuse_port(4)).await;
    for round in 0..60 {
        server.set_acceptors([1, 4, 2, 3, 0, 4][round % 6]);
        let clients = connect_many(&server, 5).await;
        if round % 6 == 4 {
            server.set_acceptors(1);
        }
        tally(clients).await;
    }
    assert_eq!(server.stats().accepted, 300);
    stop(&server).await;
}

#[tokio::test]
async fn a_drain_serves_waiting_clients_of_every_queue() {
    drain_serves_waiting_clients().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_serves_waiting_clients_of_every_queue_with_several_threads() {
    drain_serves_waiting_clients().await;
}

async fn drain_serves_waiting_clients() {
    for left in [4, 1].repeat(10) {
        let server = start(reuse_port(4)).await;
        server.pause();
        let waiting = connect_many(&server, 40).await;
        server.set_acceptors(left);
        let served = async {
            // They end once they are served, so that the drain can complete.
            tally(waiting).await.values().sum::<usize>()
        };
        let (report, served) = tokio::join!(server.drain(LONG), served);
        assert_eq!((served, report.aborted), (40, 0), "{left} left");
        assert_eq!(server.stats().drained + server.stats().completed, 40);
    }
}

#[tokio::test]
async fn of_several_addresses_those_that_can_have_sockets_of_their_own() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let server = Server::bind(["127.0.0.1:0", &unix(&path)]).acceptors(3);
    let server = start(server.options(|options| options.reuse_port = true)).await;
    assert_eq!(server.stats().acceptors, 6);
    assert_eq!(listening(server.local_addr().socket_addr().unwrap()), 3);
    let mut local = UnixStream::connect(&path).await.unwrap();
    assert!(local.read_u8().await.unwrap() < 3);
    assert!(echoes(&mut local, "hello").await);
    let mut tcp = connect_to(server.local_addr()).await;
    assert!(tcp.read_u8().await.unwrap() < 3);
    drop((local, tcp));
    stop(&server).await;
}

#[tokio::test]
async fn a_start_that_fails_closes_the_sockets_of_all_acceptors() {
    let port = Port::new();
    let free = port.addr();
    let make = tower::service_fn(|acceptor: Acceptor| async move {
        match acceptor.index {
            3 => Err(io::Error::other("no more")),
            _ => Ok(handle(echo)),
        }
    });
    let server = Server::bind(free)
        .options(|options| options.reuse_port = true)
        .acceptors(4);
    let error = server.start_make(make).await.unwrap_err();
    assert_eq!(
        ErrorChain(&error).to_string(),
        "cannot make the service of an acceptor: no more"
    );
    assert_eq!(listening(free), 0);
}
