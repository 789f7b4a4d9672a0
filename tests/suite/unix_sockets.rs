//! Unix sockets: ownership, permissions and removal of their files.
#![cfg(unix)]

use crate::support::{Dir, LONG, beside, echo, echoes, refusal, serve, settle, stop, unix, until};
use reagent::{Addr, Connection, Server, handle};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    ffi::OsStr,
    fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::Path,
    sync::atomic::Ordering::SeqCst,
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

    assert_eq!(
        refusal(unix(&path)).await,
        format!(
            "cannot listen on {}: another server listens there; stop it or choose another \
             address: Address already in use (os error 98)",
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
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on {}: the path is a file that is not a socket; remove it or choose \
             another path",
            unix(&path)
        )
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let folder = dir.path("folder");
    fs::create_dir(&folder).unwrap();
    let error = refusal(unix(&folder)).await;
    let reason = ": the path is a directory; choose a path inside it";
    let expected = format!("cannot listen on {}{reason}", unix(&folder));
    assert!(error.starts_with(&expected), "{error}");

    // A file behind a symbolic link is not removed either.
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
    // A Unix socket has one queue, whatever was configured.
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

    assert_eq!(
        refusal(addr.clone()).await,
        format!(
            "cannot listen on {addr}: another server has this name; stop it or choose another \
             name: Address already in use (os error 98)"
        )
    );

    stop(&server).await;
    assert_eq!(
        connect().unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    stop(&serve(addr).await).await;
}

/// Takes the directory lock, as a starting server does.
fn lock(dir: &Path) -> fs::File {
    let lock = fs::File::open(dir).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    lock
}

#[tokio::test]
async fn a_server_that_does_not_listen_yet_is_not_taken_for_a_dead_one() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let locked = lock(path.parent().unwrap());
    // A socket that refuses clients, like that of a dead server.
    let half = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    half.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    let second = beside(Server::bind(&path).start(handle(echo)));
    settle().await;
    assert!(!second.is_finished());
    half.listen(1).unwrap();
    drop(locked);
    let error = second.await.unwrap().unwrap_err();
    assert!(
        error.to_string().contains("another server listens there"),
        "{error}"
    );
    // Clients reach the first one.
    let _client = UnixStream::connect(&path).await.unwrap();
    half.accept().unwrap();
}

#[tokio::test]
async fn a_directory_that_stays_locked_is_named() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let _locked = lock(path.parent().unwrap());
    let message = refusal(&path).await;
    let start = format!(
        "cannot listen on {}: another process has locked the directory {}: ",
        unix(&path),
        path.parent().unwrap().display()
    );
    assert!(message.starts_with(&start), "{message}");
    assert!(!path.exists());
}

#[test]
fn of_servers_that_start_at_once_on_a_stale_path_one_starts() {
    const THREADS: usize = 4;
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let barrier = std::sync::Barrier::new(THREADS);
    let starts = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (path, barrier, starts) = (&path, &barrier, &starts);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = { runtime }.enable_all().build().unwrap();
                for round in 0..1_500 {
                    if thread == 0 {
                        drop(std::os::unix::net::UnixListener::bind(path).unwrap());
                    }
                    barrier.wait();
                    runtime.block_on(async {
                        let server = Server::bind(path).start(handle(echo)).await;
                        starts.fetch_add(usize::from(server.is_ok()), SeqCst);
                        barrier.wait();
                        assert_eq!(starts.load(SeqCst), 1, "round {round}");
                        barrier.wait();
                        if let Ok(server) = server {
                            assert!(reaches(path).await);
                            stop(&server).await;
                            starts.store(0, SeqCst);
                        }
                    });
                    barrier.wait();
                }
            });
        }
    });
}

#[tokio::test]
async fn owner_group_and_mode_are_settled_before_clients_can_connect() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let server = Server::bind(&path).options(|options| {
        options.unix_owner = Some(12_345);
        options.unix_group = Some(23_456);
        options.unix_mode = Some(0o666);
    });
    match server.start(handle(echo)).await {
        Ok(server) => {
            let found = fs::symlink_metadata(&path).unwrap();
            let mode = found.permissions().mode() & 0o7777;
            assert_eq!((found.uid(), found.gid(), mode), (12_345, 23_456, 0o666));
            assert!(reaches(&path).await);
            stop(&server).await;
        }
        Err(error) => {
            let message =
                "cannot set owner 12345 and group 23456 on the path; CAP_CHOWN is required";
            assert!(error.to_string().contains(message), "{error}");
        }
    }
    assert!(!path.exists());
}

#[tokio::test]
async fn a_path_need_not_be_text() {
    let dir = Dir::new();
    let path = dir.path("app").join("..");
    fs::create_dir(dir.path("app")).unwrap();
    let path = path.join(OsStr::from_bytes(b"app\xff.sock"));
    let server = serve(path.as_path()).await;
    assert_eq!(server.local_addr().path(), Some(path.as_path()));
    assert!(reaches(&path).await);
    stop(&server).await;
    assert!(!path.exists());
    // A server may listen on the address of another.
    let server = serve(server.local_addr()).await;
    assert!(reaches(&path).await);
    stop(&server).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_abstract_name_need_not_be_text_either() {
    use std::os::{linux::net::SocketAddrExt, unix::net};
    let name = [
        format!("reagent-bytes-{}", std::process::id()).as_bytes(),
        b"\xff",
    ]
    .concat();
    let path = Path::new(OsStr::from_bytes(&[b"@", name.as_slice()].concat())).to_owned();
    let addr = net::SocketAddr::from_abstract_name(&name).unwrap();
    let adopted = net::UnixListener::bind_addr(&addr).unwrap();
    let server = serve(adopted).await;
    assert_eq!(server.local_addr().path(), Some(path.as_path()));
    stop(&server).await;
    drop(server);

    let server = serve(path).await;
    let client = net::UnixStream::connect_addr(&addr).unwrap();
    client.set_nonblocking(true).unwrap();
    let mut client = UnixStream::from_std(client).unwrap();
    assert!(echoes(&mut client, "hello").await);
    drop(client);
    server.drain(LONG).await;
}
