//! Sockets that somebody else opened: handed over by the service manager, or made by hand.
#![cfg(target_os = "linux")]

use crate::support::{Dir, LONG, connect, echo, echoes, stop, until};
use reagent::{Server, SocketListener, handle};
use std::{
    net,
    os::{fd::OwnedFd, unix},
    process::{ExitStatus, Stdio},
};
use tokio::{
    net::{TcpStream, UnixStream},
    process::{Child, Command},
};

/// Says to a child what it is to do; without it, `a_child` does nothing.
const TASK: &str = "REAGENT_TEST_INHERITED";

/// Runs `a_child` in a process that is given `sockets`, at most two, under these names.
fn spawn_child(task: &str, sockets: Vec<OwnedFd>, names: Option<&str>) -> Child {
    // Descriptors from 3 on, and a LISTEN_PID that is right, can be had without `unsafe` by a shell.
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
    command.spawn().unwrap()
}

async fn end(mut child: Child) -> ExitStatus {
    tokio::time::timeout(LONG, child.wait())
        .await
        .expect("the child to end")
        .unwrap()
}

async fn refusal(addr: &str) -> String {
    Server::bind(addr)
        .start(handle(echo))
        .await
        .unwrap_err()
        .to_string()
}

#[tokio::test]
async fn a_child() {
    match std::env::var(TASK).as_deref() {
        Ok("serve") => {
            let server = Server::bind(["systemd:web", "systemd:admin"]).start(handle(echo));
            let server = server.await.unwrap();
            until("both are served", || server.stats().completed == 2).await;
            stop(&server).await;
            let path = server.local_addrs().nth(1).unwrap().path().unwrap();
            std::fs::write(path.with_file_name("stopped"), "").unwrap();
            // They are still there for the next server.
            let server = Server::bind(["systemd:web", "systemd:admin"]).start(handle(echo));
            let server = server.await.unwrap();
            until("both are served again", || server.stats().completed == 2).await;
            stop(&server).await;
        }
        Ok("name") => {
            assert_eq!(
                refusal("systemd:smtp").await,
                "cannot listen on systemd:smtp: no socket of this name was handed over; these \
                 were: web, admin"
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
        _ => {}
    }
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
            // The first server would serve who comes before.
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
    // It belongs to the service manager.
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
        "cannot listen on systemd:web: no socket of this name was handed over; none was \
         (LISTEN_FDS and LISTEN_PID name none for this process)"
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
