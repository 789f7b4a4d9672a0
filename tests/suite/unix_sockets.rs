//! Unix sockets: whose file it is, who may open it, and when it goes.
#![cfg(unix)]

use crate::support::{Dir, echo, echoes, serve, stop, unix, until};
use reagent::{Addr, Connection, Server, handle};
use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
};
use tokio::{io::AsyncWriteExt, net::UnixStream};

async fn reaches(path: &Path) -> bool {
    match UnixStream::connect(path).await {
        Ok(mut client) => echoes(&mut client, "hello").await,
        Err(_) => false,
    }
}

#[tokio::test]
async fn a_path_is_served_and_removed_at_the_end() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let server = serve(unix(&path)).await;
    assert!(reaches(&path).await);
    assert_eq!(
        server.local_addr(),
        &Addr::Unix(Some(path.as_path().into()))
    );
    assert_eq!(server.local_addr().to_string(), unix(&path));
    assert_eq!(server.local_addr().port(), None);
    stop(&server).await;
    assert!(!path.exists());

    let server = serve(unix(&path)).await;
    server.abort();
    server.wait().await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_connection_knows_its_path_and_its_client_has_none() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let server = Server::bind(unix(&path))
        .start(handle(|mut conn: Connection| async move {
            assert!(conn.peer_cred().is_ok());
            let addrs = format!("{} {}", conn.local_addr()?, conn.peer_addr());
            conn.write_all(addrs.as_bytes()).await
        }))
        .await
        .unwrap();
    let mut client = UnixStream::connect(&path).await.unwrap();
    let told = crate::support::rest(&mut client).await.unwrap();
    assert_eq!(
        String::from_utf8(told).unwrap(),
        format!("{} unix:", unix(&path))
    );
    stop(&server).await;
}

#[tokio::test]
async fn the_file_has_the_mode_that_was_asked_for() {
    let dir = Dir::new();
    for mode in [0o600, 0o660, 0o666, 0o777, 0o000] {
        let path = dir.path(&format!("{mode:o}.sock"));
        let server = Server::bind(unix(&path)).options(|options| options.unix_mode = Some(mode));
        let server = server.start(handle(echo)).await.unwrap();
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{mode:o}");
        stop(&server).await;
    }
}

#[tokio::test]
async fn a_stale_path_is_replaced_and_a_live_one_refused() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = serve(unix(&path)).await;
    assert!(reaches(&path).await);

    let error = Server::bind(unix(&path))
        .start(handle(echo))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on {}: Address already in use (os error 98); another server listens \
             there; stop it or choose another address",
            unix(&path)
        )
    );
    assert!(reaches(&path).await);
    stop(&server).await;
}

#[tokio::test]
async fn a_live_path_with_a_full_queue_is_refused() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let server = Server::bind(unix(&path)).options(|options| options.backlog = 0);
    let server = server.acceptors(0).start(handle(echo)).await.unwrap();
    let mut waiting = UnixStream::connect(&path).await.unwrap();
    let path_again = unix(&path);
    let start = Server::bind(path_again).start(handle(echo));
    let error = start.await.unwrap_err();
    assert!(
        error.to_string().contains("another server listens there"),
        "{error}"
    );
    server.set_acceptors(1);
    assert!(echoes(&mut waiting, "hello").await);
    drop(waiting);
    stop(&server).await;
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let dir = Dir::new();
    let path = dir.path("notes.txt");
    fs::write(&path, "precious").unwrap();
    let error = Server::bind(unix(&path))
        .start(handle(echo))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot listen on {}: ", unix(&path)))
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

    // Nor is one that it is reached by.
    let link = dir.path("link.sock");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    Server::bind(unix(&link))
        .start(handle(echo))
        .await
        .unwrap_err();
    assert_eq!(fs::read_to_string(&link).unwrap(), "precious");
}

#[tokio::test]
async fn a_path_that_another_server_has_by_now_stays() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let first = serve(unix(&path)).await;
    fs::remove_file(&path).unwrap();
    let second = serve(unix(&path)).await;
    stop(&first).await;
    assert!(reaches(&path).await);
    stop(&second).await;
    assert!(!path.exists());
}

#[tokio::test]
async fn several_acceptors_share_a_path() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    // A Unix socket has one queue, whatever was asked for.
    let server = Server::bind(unix(&path)).options(|options| options.reuse_port = true);
    let server = server.acceptors(4).start(handle(echo)).await.unwrap();
    assert_eq!(server.stats().acceptors, 4);
    for _ in 0..40 {
        assert!(reaches(&path).await);
    }
    server.set_acceptors(1);
    until("one is left", || server.stats().acceptors == 1).await;
    assert!(path.exists());
    assert!(reaches(&path).await);
    stop(&server).await;
    assert!(!path.exists());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_abstract_name_is_served_and_makes_no_file() {
    use std::os::{linux::net::SocketAddrExt, unix::net};
    let name = format!("reagent-test-{}", std::process::id());
    let addr = format!("unix:@{name}");
    let connect = || -> io::Result<UnixStream> {
        let client = net::UnixStream::connect_addr(&net::SocketAddr::from_abstract_name(&name)?)?;
        client.set_nonblocking(true)?;
        UnixStream::from_std(client)
    };
    let server = serve(addr.clone()).await;
    assert!(echoes(&mut connect().unwrap(), "hello").await);
    assert_eq!(server.local_addr().to_string(), addr);
    assert!(!Path::new(&format!("@{name}")).exists());

    let error = Server::bind(addr.clone())
        .start(handle(echo))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot listen on {addr}: ")),
        "{error}"
    );

    stop(&server).await;
    assert_eq!(
        connect().unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    stop(&serve(addr).await).await;
}
