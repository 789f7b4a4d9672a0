//! Sockets that are inherited, taken over and given up.

use super::*;
use socket2::SockRef;
use std::os::fd::OwnedFd;

fn unix(path: &Path) -> SocketListener {
    SocketListener::bind_unix(path, &Arc::default()).unwrap()
}

fn inherit(old: &SocketListener, options: SocketOptions) -> io::Result<SocketListener> {
    SocketListener::inherit(old.descriptor().unwrap(), old.facts(), &Arc::new(options))
}

/// Asks a socket of the listener for an option.
fn ask<T>(listener: &SocketListener, question: impl Fn(SockRef<'_>) -> io::Result<T>) -> T {
    let fd: OwnedFd = listener.descriptor().unwrap();
    question(SockRef::from(&fd)).unwrap()
}

#[tokio::test]
async fn only_the_owner_removes_the_path() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let old = unix(&path);
    drop(inherit(&old, SocketOptions::default()).unwrap());
    assert!(path.exists(), "a guest that failed");

    let new = inherit(&old, SocketOptions::default()).unwrap();
    old.give_up();
    drop(old);
    assert!(path.exists(), "the predecessor has given it up");
    let newer = inherit(&new, SocketOptions::default()).unwrap();
    new.take_over();
    drop(new);
    assert!(!path.exists(), "the owner");
    // It is gone, which is no lie.
    drop(inherit(&newer, SocketOptions::default()).unwrap());
}

#[tokio::test]
async fn a_path_that_is_no_longer_the_sockets_is_left_alone() {
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let old = unix(&path);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "precious").unwrap();
    let new = inherit(&old, SocketOptions::default()).unwrap();
    old.give_up();
    new.take_over();
    drop((old, new));
    assert!(path.exists());
}

#[tokio::test]
async fn options_apply_once_the_socket_is_taken_over() {
    let old = tcp();
    let mut options = SocketOptions::default();
    options.nodelay = false;
    options.keepalive = Some(Default::default());
    let new = inherit(&old, options).unwrap();
    assert!(ask(&old, |socket| socket.tcp_nodelay()));
    new.take_over();
    assert!(!ask(&old, |socket| socket.tcp_nodelay()));
    assert!(ask(&old, |socket| socket.keepalive()));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_option_that_the_system_refuses_fails_the_start_and_changes_nothing() {
    let old = tcp();
    let mut options = SocketOptions::default();
    options.nodelay = false;
    options.congestion = Some("no-such-algorithm".to_owned());
    let error = inherit(&old, options).unwrap_err();
    assert!(
        error.to_string().contains("cannot set TCP_CONGESTION"),
        "{error}"
    );
    assert!(ask(&old, |socket| socket.tcp_nodelay()));
}

#[tokio::test]
async fn the_mode_of_a_path_is_that_of_the_owner() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    let path = dir.path("app.sock");
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let old = unix(&path);
    let before = mode();
    let mut options = SocketOptions::default();
    options.unix_mode = Some(0o666);
    let new = inherit(&old, options).unwrap();
    assert_eq!(mode(), before);
    new.take_over();
    assert_eq!(mode(), 0o666);
}

#[tokio::test]
async fn reuse_port_stays_as_it_was_when_the_socket_was_bound() {
    let mut shared = SocketOptions::default();
    shared.reuse_port = true;
    let alone = tcp();
    let inherited = inherit(&alone, shared.clone()).unwrap();
    assert!(inherited.try_another().is_none());

    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let (several, _) = SocketListener::bind_tcp(addr, &Arc::new(shared)).unwrap();
    let inherited = inherit(&several, SocketOptions::default()).unwrap();
    inherited.try_another().unwrap().unwrap();
}

#[tokio::test]
async fn a_socket_that_was_opened_elsewhere_stays_one() {
    let std = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let old = SocketListener::try_from(std).unwrap();
    let new = inherit(&old, SocketOptions::default()).unwrap();
    assert!(new.try_reopen().is_none());
    assert!(!new.is_local_addr_fixed());
    assert!(
        inherit(&tcp(), SocketOptions::default())
            .unwrap()
            .try_reopen()
            .is_some()
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_abstract_name_is_handed_over() {
    let name = format!("@reagent-handover-{}", std::process::id());
    let old = Old::on_a_port();
    let _tasks = {
        let mut tasks = JoinSet::new();
        tasks.spawn(old.clone().wait(name.clone().into(), Carrier::default()));
        tokio::task::yield_now().await;
        tasks
    };
    let (_listeners, door) = take_over(Path::new(&name), "127.0.0.1:0").await;
    assert_eq!(door.local_addr().to_string(), format!("unix:{name}"));
    assert_eq!(old.events(), ["pause [0]", "commit [0]"]);
}
