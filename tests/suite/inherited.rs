//! Sockets opened by others: inherited from a service manager, or created by the program.
#![cfg(target_os = "linux")]

use crate::support::{Dir, LONG, connect, echo, echoes, refusal, stop, until};
use reagent::{Error, Keepalive, Listener, Server, SocketListener, SocketOptions, handle};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    net,
    os::{fd::OwnedFd, unix},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    net::{TcpStream, UnixStream},
    process::{Child, Command},
};

/// Selects the task of the child process. Without it, `a_child` does nothing.
const TASK: &str = "REAGENT_TEST_INHERITED";

/// Runs `a_child` in a process that inherits up to two sockets with these names.
fn spawn_child(task: &str, sockets: Vec<OwnedFd>, names: Option<&str>) -> Child {
    child(task, sockets, names).spawn().unwrap()
}

fn child(task: &str, sockets: Vec<OwnedFd>, names: Option<&str>) -> Command {
    // A shell can pass descriptors from 3 on and the correct LISTEN_PID without `unsafe`.
    let script = "export LISTEN_PID=$$; exec \"$0\" \"$@\" 3<&0 4<&2 2>&1 </dev/null";
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap());
    command.args(["--exact", "inherited::a_child", "--nocapture"]);
    command
        .env(TASK, task)
        .env("LISTEN_FDS", sockets.len().to_string())
        .kill_on_drop(true);
    command.env_remove("LISTEN_FDNAMES");
    if let Some(names) = names {
        command.env("LISTEN_FDNAMES", names);
    }
    let mut sockets = sockets.into_iter().map(Stdio::from);
    command.stdin(sockets.next().unwrap_or_else(Stdio::null));
    command.stderr(sockets.next().unwrap_or_else(Stdio::null));
    command
}

async fn end(mut child: Child) -> ExitStatus {
    tokio::time::timeout(LONG, child.wait())
        .await
        .expect("the child to end")
        .unwrap()
}

#[tokio::test]
async fn a_child() {
    match std::env::var(TASK).as_deref() {
        Ok("serve") => {
            let server = Server::bind(["systemd:web", "systemd:admin"]).start(handle(echo));
            let server = server.await.unwrap();
            until("both are served", || server.stats().completed == 2).await;
            stop(&server).await;
            let addr = server.local_addrs().nth(1).unwrap();
            let path = addr.path().unwrap();
            std::fs::write(path.with_file_name("stopped"), "").unwrap();
            // The sockets are still available to the next server.
            let server = Server::bind(["systemd:web", "systemd:admin"]).start(handle(echo));
            let server = server.await.unwrap();
            until("both are served again", || server.stats().completed == 2).await;
            stop(&server).await;
        }
        Ok("name") => {
            assert_eq!(
                refusal("systemd:smtp").await,
                "cannot listen on \"systemd:smtp\": no socket of this name was passed to this \
                 process; expected one of: web, admin"
            );
        }
        Ok("nameless") => {
            let server = Server::bind("systemd:unknown")
                .start(handle(echo))
                .await
                .unwrap();
            until("it is served", || server.stats().completed == 1).await;
            stop(&server).await;
        }
        Ok("only") => {
            let server = Server::bind("systemd:").start(handle(echo)).await.unwrap();
            until("it is served", || server.stats().completed == 1).await;
            stop(&server).await;
        }
        Ok("twins") => {
            let server = Server::bind("systemd:web").start(handle(echo));
            let server = server.await.unwrap();
            assert_eq!(server.local_addrs().count(), 2);
            until("both are served", || server.stats().completed == 2).await;
            stop(&server).await;
        }
        Ok("shared") => {
            let server = Server::bind("systemd:web").per_core().acceptors(2);
            let server = server.start(handle(echo)).await.unwrap();
            assert_eq!(server.stats().acceptors, 2);
            until("it is served", || server.stats().completed == 1).await;
            stop(&server).await;
        }
        Ok("overcounted") => {
            let reason = std::env::var("REAGENT_TEST_REASON").unwrap();
            for _ in 0..2 {
                let message = refusal("systemd:web").await;
                let start = format!("cannot listen on \"systemd:web\": {reason}");
                assert!(message.starts_with(&start), "{message}");
            }
        }
        Ok(refused) if refused.starts_with("cannot") => {
            for _ in 0..2 {
                assert_eq!(refusal("systemd:web").await, refused);
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn all_sockets_of_one_name_are_served() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
    // A unit with two `ListenStream=` passes two sockets with the same name.
    let sockets = ["127.0.0.1:0", "[::1]:0"].map(|addr| net::TcpListener::bind(addr).unwrap());
    let addrs = sockets
        .each_ref()
        .map(|socket| socket.local_addr().unwrap());
    let child = spawn_child("twins", sockets.map(OwnedFd::from).into(), Some("web:web"));
    for addr in addrs {
        let mut client = TcpStream::connect(addr).await.unwrap();
        assert!(echoes(&mut client, "hello").await, "{addr}");
    }
    assert!(end(child).await.success());
}

#[tokio::test]
async fn an_inherited_socket_is_shared_by_the_acceptors() {
    let socket = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let child = spawn_child("shared", vec![socket.into()], Some("web"));
    assert!(echoes(&mut TcpStream::connect(addr).await.unwrap(), "hello").await);
    assert!(end(child).await.success());
}

/// Sockets that cannot accept, with the expected errors.
fn misfits() -> Vec<(Socket, &'static str)> {
    let udp = net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let seqpacket = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    let stream = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    stream
        .bind(&SockAddr::from(net::SocketAddr::from(([127, 0, 0, 1], 0))))
        .unwrap();
    let local = unix::net::UnixDatagram::unbound().unwrap();
    vec![
        (udp.into(), "it is a datagram socket"),
        (OwnedFd::from(local).into(), "it is a datagram socket"),
        (seqpacket, "it is a SOCK_SEQPACKET socket"),
        (stream, "the socket does not listen"),
    ]
}

#[tokio::test]
async fn a_socket_that_nobody_can_accept_from_is_refused_by_its_kind() {
    for (socket, reason) in misfits() {
        let reason = format!("{reason}; expected a listening stream socket");
        let error = SocketListener::with_options(socket.try_clone().unwrap(), Default::default());
        assert_eq!(error.unwrap_err().to_string(), reason);
        let message = refusal(socket.try_clone().unwrap()).await;
        assert!(message.starts_with("cannot listen on "), "{message}");
        assert!(message.ends_with(&reason), "{message}");
        let task = format!("cannot listen on \"systemd:web\": {reason}");
        let child = spawn_child(&task, vec![socket.into()], Some("web"));
        assert!(end(child).await.success(), "{task}");
    }
    let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let message = refusal(file).await;
    assert!(
        message.contains(": it is not a socket (Socket operation on non-socket"),
        "{message}"
    );
}

#[tokio::test]
async fn more_descriptors_than_were_handed_over_are_refused() {
    // Some of these descriptors belong to the runtime, and most are not open.
    let socket = || net::TcpListener::bind("127.0.0.1:0").unwrap().into();
    for (count, reason) in [
        (600, "LISTEN_FDS is 600, but descriptor "),
        (
            u32::MAX - 3,
            "LISTEN_FDS is 4294967292; expected at most 1048576",
        ),
    ] {
        let mut command = child("overcounted", vec![socket()], Some("web"));
        command.env("LISTEN_FDS", count.to_string());
        command.env("REAGENT_TEST_REASON", reason);
        assert!(end(command.spawn().unwrap()).await.success(), "{reason}");
    }
}

#[tokio::test]
async fn a_socket_made_by_hand_gets_the_options_of_its_server() {
    if crate::skipped::lacks_ipv6() {
        return;
    }
    let listen = || net::TcpListener::bind("127.0.0.1:0").unwrap();
    let v6 = net::TcpListener::bind("[::1]:0").unwrap();
    let sockets = [listen(), v6];
    let kept = sockets
        .each_ref()
        .map(|socket| Socket::from(socket.try_clone().unwrap()));
    assert!(kept.iter().all(|socket| !socket.tcp_nodelay().unwrap()));
    let server = Server::bind(sockets).options(|options| {
        options.keepalive = Some(Keepalive::after(Duration::from_secs(77)));
        options.notsent_lowat = Some(16_384);
        // Acceptors share the socket nevertheless.
        options.reuse_port = true;
    });
    let server = server.acceptors(2).start(handle(echo)).await.unwrap();
    for socket in &kept {
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(
            socket.tcp_keepalive_time().unwrap(),
            Duration::from_secs(77)
        );
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), 16_384);
    }
    stop(&server).await;

    // A listener created from a socket beforehand has the default options or its own.
    let socket = listen();
    let kept = socket.try_clone().unwrap();
    let listener = SocketListener::try_from(socket).unwrap();
    assert!(Socket::from(kept).tcp_nodelay().unwrap());
    let mut options = SocketOptions::default();
    options.nodelay = false;
    let socket = listen();
    let kept = socket.try_clone().unwrap();
    let server =
        Server::new(listener).listen(SocketListener::with_options(socket, options).unwrap());
    let server = server.start(handle(echo)).await.unwrap();
    assert!(!Socket::from(kept).tcp_nodelay().unwrap());
    assert!(echoes(&mut connect(&server).await, "hello").await);
}

#[tokio::test]
async fn a_custom_socket_is_not_reopened_when_it_is_lost() {
    let tcp = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let kept = Socket::from(tcp.try_clone().unwrap());
    let server = Server::bind(tcp).start(handle(echo)).await.unwrap();
    assert!(echoes(&mut connect(&server).await, "hello").await);
    kept.shutdown(net::Shutdown::Both).unwrap();
    let ended = tokio::time::timeout(LONG, server.wait()).await.unwrap();
    assert!(matches!(*ended.unwrap_err(), Error::ListenersLost));

    // A path is not bound either if another process removes it.
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let local = unix::net::UnixListener::bind(&path).unwrap();
    let listener = SocketListener::try_from(local).unwrap();
    assert!(listener.try_reopen().is_none() && listener.try_another().is_none());
    drop(listener);
    assert!(path.exists());
}

#[tokio::test]
async fn sockets_of_the_service_manager_are_served_by_their_names() {
    let dir = Dir::new();
    let path = dir.path("admin.sock");
    let web = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = web.local_addr().unwrap();
    let admin = unix::net::UnixListener::bind(&path).unwrap();
    let child = spawn_child("serve", vec![web.into(), admin.into()], Some("web:admin"));
    for round in 0..2 {
        if round == 1 {
            // A client that connects earlier would be served by the first server.
            until("the first server has stopped", || {
                dir.path("stopped").exists()
            })
            .await;
        }
        let mut tcp = TcpStream::connect(addr).await.unwrap();
        let mut local = UnixStream::connect(&path).await.unwrap();
        assert!(echoes(&mut tcp, "web").await);
        assert!(echoes(&mut local, "admin").await);
    }
    assert!(end(child).await.success());
    // The file belongs to the service manager.
    assert!(path.exists());
}

#[tokio::test]
async fn an_unknown_name_is_answered_with_the_known_ones() {
    let sockets = || net::TcpListener::bind("127.0.0.1:0").unwrap().into();
    let child = spawn_child("name", vec![sockets(), sockets()], Some("web:admin"));
    assert!(end(child).await.success());
}

#[tokio::test]
async fn sockets_without_names_are_called_unknown_as_systemd_does() {
    let socket = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let child = spawn_child("nameless", vec![socket.into()], None);
    assert!(echoes(&mut TcpStream::connect(addr).await.unwrap(), "hello").await);
    assert!(end(child).await.success());
}

#[tokio::test]
async fn the_only_socket_needs_no_name() {
    let socket = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let child = spawn_child("only", vec![socket.into()], Some("web"));
    assert!(echoes(&mut TcpStream::connect(addr).await.unwrap(), "hello").await);
    assert!(end(child).await.success());
}

#[tokio::test]
async fn without_a_service_manager_it_is_said_that_none_was_there() {
    assert_eq!(
        refusal("systemd:web").await,
        "cannot listen on \"systemd:web\": no socket of this name was passed to this process; \
         LISTEN_FDS and LISTEN_PID announce none"
    );
}

#[tokio::test]
async fn a_tcp_socket_made_by_hand_is_served() {
    let socket = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let server = Server::new(SocketListener::try_from(socket).unwrap());
    let server = server.acceptors(2).start(handle(echo)).await.unwrap();
    assert_eq!(server.local_addr(), &addr);
    assert!(echoes(&mut connect(&server).await, "hello").await);
    stop(&server).await;
}

#[tokio::test]
async fn a_unix_socket_made_by_hand_is_served_and_its_file_stays() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let socket = unix::net::UnixListener::bind(&path).unwrap();
    let server = Server::bind("127.0.0.1:0").listen(SocketListener::try_from(socket).unwrap());
    let server = server.start(handle(echo)).await.unwrap();
    assert_eq!(server.local_addrs().nth(1).unwrap().path(), Some(&*path));
    let mut client = UnixStream::connect(&path).await.unwrap();
    assert!(echoes(&mut client, "hello").await);
    assert!(echoes(&mut connect(&server).await, "hello").await);
    drop(client);
    stop(&server).await;
    assert!(path.exists());
}
