//! Successions that go well.

use super::*;
use rustix::io::{FdFlags, fcntl_getfd};
use tokio::{io::AsyncReadExt, net::TcpStream};

#[tokio::test]
async fn a_successor_gets_sockets_and_state_and_the_clients_in_the_queue() {
    let dir = Dir::new();
    let unix = SocketListener::bind_unix(&dir.path("app.sock"), &Arc::default()).unwrap();
    let old = Old::new(vec![
        ("127.0.0.1:0", vec![tcp()]),
        ("unix:app.sock", vec![unix]),
    ]);
    let (keys, bans) = (Bytes::new("keys", b"secret"), Bytes::new("bans", b""));
    let mut tasks = old.beside(&dir.door(), &carrier(&[&keys, &bans])).await;
    let mut client = TcpStream::connect(old.addr()).await.unwrap();

    let mut succession = succeed(&dir.door()).await;
    let taken = succession.take_one("127.0.0.1:0").unwrap();
    let mut tcp = taken.open(&Arc::default()).unwrap();
    assert_eq!(tcp[0].local_addr(), old.addr());
    assert!(tcp[0].is_local_addr_fixed());
    // Found by its address, since it was requested by another name.
    let path = format!("unix:{}", dir.path("app.sock").display());
    let unix = succession
        .take_one(&path)
        .unwrap()
        .open(&Arc::default())
        .unwrap();
    assert_eq!(
        old.events(),
        [""; 0],
        "the predecessor accepts until the successor is ready"
    );

    let new_keys = Bytes::new("keys", b"");
    let others = Bytes::new("others", b"untouched");
    let prepared = succession
        .ready(&carrier(&[&others, &new_keys]))
        .await
        .unwrap();
    assert_eq!(old.events(), ["pause [0, 1]"]);
    assert_eq!(new_keys.value(), b"secret");
    assert_eq!(others.value(), b"untouched");
    let door = prepared.take_over().await.unwrap();
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!(old.events(), ["commit [0, 1]"]);

    let mut transport = accept(&mut tcp[0]).await;
    drop(old);
    tokio::io::AsyncWriteExt::write_all(&mut transport, b"hello")
        .await
        .unwrap();
    drop(transport);
    let mut greeting = String::new();
    client.read_to_string(&mut greeting).await.unwrap();
    assert_eq!(greeting, "hello");
    for listener in [&tcp[0], &unix[0], &door] {
        let flags = fcntl_getfd(listener.descriptor().unwrap()).unwrap();
        assert!(flags.contains(FdFlags::CLOEXEC));
    }
    assert!(dir.door().exists() && dir.path("app.sock").exists());
}

#[tokio::test]
async fn received_descriptors_are_closed_by_exec() {
    let (left, right) = UnixStream::pair().unwrap();
    let (left, right) = (Wire::new(left), Wire::new(right));
    let socket = tcp().descriptor().unwrap();
    left.send(Kind::Last, b"", &[std::os::fd::AsFd::as_fd(&socket)])
        .await
        .unwrap();
    let mut received = Received {
        fds: Vec::new(),
        most: 1,
    };
    right.receive(&mut received).await.unwrap().unwrap();
    let flags = fcntl_getfd(&received.fds[0]).unwrap();
    assert!(flags.contains(FdFlags::CLOEXEC));
}

#[tokio::test]
async fn a_successor_has_a_successor() {
    let dir = Dir::new();
    let mut old = Old::on_a_port();
    let addr = old.addr();
    let mut tasks = old.beside(&dir.door(), &Carrier::default()).await;
    for _ in 0..5 {
        let (listeners, door) = take_over(&dir.door(), "127.0.0.1:0").await;
        tasks.join_next().await.unwrap().unwrap();
        old = Old::new(vec![("127.0.0.1:0", listeners)]);
        let next = old.clone();
        tasks.spawn(
            async move { serve(door, &*next, &Carrier::default(), &Spare::default()).await },
        );
        TcpStream::connect(addr).await.unwrap();
    }
    tasks.shutdown().await;
    assert!(!dir.door().exists(), "the last one has removed the path");
}

#[tokio::test]
async fn without_a_predecessor_there_is_nothing_to_take_over() {
    let dir = Dir::new();
    let path = dir.door();
    assert!(connect(&path).await.unwrap().is_none(), "no file");
    drop(std::os::unix::net::UnixListener::bind(dir.door()).unwrap());
    assert!(
        connect(&path).await.unwrap().is_none(),
        "a file that was left behind"
    );
    let door = SocketListener::private(&dir.door()).await.unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(dir.door()).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    drop(door);
    assert!(!dir.door().exists());
}

#[tokio::test]
async fn listeners_that_are_not_taken_are_left_to_the_predecessor() {
    let dir = Dir::new();
    let old = Old::new(vec![
        ("a", vec![tcp()]),
        ("b", vec![tcp()]),
        ("c", vec![tcp()]),
    ]);
    let mut tasks = old.beside(&dir.door(), &Carrier::default()).await;
    let mut succession = succeed(&dir.door()).await;
    let kept: Vec<_> = ["c", "a", "nothing"]
        .into_iter()
        .filter_map(|requested| succession.take_one(requested))
        .collect();
    assert_eq!(kept.len(), 2);
    assert!(succession.take_one("a").is_none(), "it is taken once");
    let prepared = succession.ready(&Carrier::default()).await.unwrap();
    prepared.take_over().await.unwrap();
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!(old.events(), ["pause [0, 2]", "commit [0, 2]"]);
    let closed = old.listeners[1].1[0].local_addr().socket_addr().unwrap();
    drop(old);
    let refused = TcpStream::connect(closed).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn more_sockets_than_fit_into_a_message_arrive() {
    let dir = Dir::new();
    let socket = |number: usize| {
        let path = dir.path(&format!("{number}.sock"));
        SocketListener::bind_unix(&path, &Arc::default()).unwrap()
    };
    let listeners = (0..300)
        .map(|number| ("unix", vec![socket(number)]))
        .collect();
    let old = Old::new(listeners);
    let _tasks = old.beside(&dir.door(), &Carrier::default()).await;
    let mut succession = succeed(&dir.door()).await;
    for number in 0..300 {
        let listener = succession.take_one("unix").unwrap();
        let opened = listener.open(&Arc::default()).unwrap();
        let path = dir.path(&format!("{number}.sock"));
        assert_eq!(opened[0].local_addr().path(), Some(&*path));
    }
    assert!(succession.take_one("unix").is_none());
}

#[tokio::test]
async fn a_large_state_arrives_and_one_that_is_too_large_fails_the_succession() {
    let dir = Dir::new();
    let old = Old::on_a_port();
    let size = super::super::carrier::MOST_BYTES - 100;
    let pattern: Vec<u8> = (0..size).map(|number| (number % 251) as u8).collect();
    let state = Bytes::new("state", &pattern);
    let _tasks = old.beside(&dir.door(), &carrier(&[&state])).await;
    let new = Bytes::new("state", b"");
    drop(
        succeed(&dir.door())
            .await
            .ready(&carrier(&[&new]))
            .await
            .unwrap(),
    );
    assert!(new.value() == pattern);

    state.value.lock().extend([0; 200]);
    until(|| old.events().contains(&"resume".to_owned())).await;
    let refused = text(succeed(&dir.door()).await.ready(&carrier(&[&new])).await);
    assert!(
        refused.ends_with("refused: the states up to \"state\" have more than 16777216 bytes"),
        "{refused}"
    );
    assert_eq!(old.events(), ["pause []", "resume"]);
}
