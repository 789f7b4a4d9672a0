//! Unix sockets.

use super::places::{connect, in_time};
use crate::tls::pki::Dir;
use reagent_layers::connect::{Connect, ConnectErrorKind, Target, UpstreamIo};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{io::ErrorKind, os::unix::net::UnixStream, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};
use tower::ServiceExt;

async fn is_connected(io: &mut UpstreamIo, listener: &UnixListener) -> bool {
    let (mut peer, _) = in_time(listener.accept()).await.unwrap();
    peer.write_all(b"x").await.unwrap();
    in_time(io.read_u8()).await.is_ok_and(|byte| byte == b'x')
}

#[tokio::test]
async fn a_path_and_an_abstract_name_are_connected_to() {
    let dir = Dir::new();
    let path = dir.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let target = Target::unix(&path);
    let mut io = connect(&Connect::new(), target).await.unwrap();
    assert!(is_connected(&mut io, &listener).await);
    assert_eq!(io.peer_addr().path(), Some(&*path));

    let name = format!("reagent-connect-{}", std::process::id());
    let listener = UnixListener::bind(format!("\0{name}")).unwrap();
    let target = format!("unix:@{name}").parse::<Target>().unwrap();
    let mut io = connect(&Connect::new(), target).await.unwrap();
    assert!(is_connected(&mut io, &listener).await);
}

/// A listener whose queue is full, and the connections that fill it.
fn full(path: &Path) -> (Socket, Vec<UnixStream>) {
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&SockAddr::unix(path).unwrap()).unwrap();
    listener.listen(1).unwrap();
    let mut queued = Vec::new();
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        match socket.connect(&SockAddr::unix(path).unwrap()) {
            Ok(()) => queued.push(socket.into()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return (listener, queued);
            }
        }
    }
}

#[tokio::test]
async fn a_full_queue_is_waited_for() {
    let dir = Dir::new();
    let path = dir.path("socket");
    let (listener, queued) = full(&path);
    let connecting = in_time(Connect::new().oneshot(Target::unix(&path)));
    let serving = async {
        // Long enough for several attempts to fail.
        tokio::time::sleep(Duration::from_millis(100)).await;
        listener.accept().unwrap()
    };
    let (connected, _) = tokio::join!(connecting, serving);
    connected.unwrap();
    drop(queued);
}

#[tokio::test]
async fn a_queue_that_stays_full_ends_with_the_limit() {
    let dir = Dir::new();
    let path = dir.path("socket");
    let _full = full(&path);
    let connector = Connect::new().timeout(Duration::from_millis(100));
    let error = connect(&connector, Target::unix(&path)).await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(error.attempts().len(), 1);
}

#[tokio::test]
async fn a_path_without_a_listener_is_an_error() {
    let dir = Dir::new();
    let target = Target::unix(dir.path("nothing"));
    let error = connect(&Connect::new(), target).await.unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::Connect);
    assert_eq!(error.io_kind(), ErrorKind::NotFound);
    let text = error.to_string();
    assert!(text.starts_with("cannot connect to unix:/"), "{text}");
}
