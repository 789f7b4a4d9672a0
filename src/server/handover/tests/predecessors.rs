//! Predecessors that die, stop or hang at each step.

use super::super::succession::ANSWER;
use super::*;
use std::os::{fd::AsFd, unix::net::UnixListener};

/// Runs both sides, and returns what they return.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    tokio::join!(a, b)
}

#[tokio::test]
async fn if_it_dies_before_it_has_sent_its_sockets_there_is_none() {
    let dir = Dir::new();
    let mut script = Script::new(&dir).await;
    let dying = async {
        let wire = script.accept().await;
        next(&wire).await;
        // A part of the manifest, with all descriptors.
        let fd = script.listener.descriptor().unwrap();
        wire.send(Kind::Part, b"\0", &[fd.as_fd()]).await.unwrap();
        drop(fd);
        script.die(wire);
    };
    let (found, ()) = both(connect(&dir.door()), dying).await;
    assert!(found.unwrap().is_none());
    assert!(dir.door().exists());
}

#[tokio::test]
async fn if_it_dies_while_its_successor_starts_the_successor_goes_on() {
    let dir = Dir::new();
    let mut script = Script::new(&dir).await;
    let addr = script.listener.local_addr().socket_addr().unwrap();
    let (mut succession, wire) = both(succeed(&dir.door()), script.offer()).await;
    // A client that connected before.
    let _client = tokio::net::TcpStream::connect(addr).await.unwrap();
    script.die(wire);
    let mut taken = succession
        .take_one("port")
        .unwrap()
        .open(&Arc::default())
        .unwrap();
    let state = Bytes::new("state", b"own");
    let prepared = succession.ready(&carrier(&[&state])).await.unwrap();
    assert_eq!(state.value(), b"own");
    let door = prepared.take_over().await.unwrap();
    accept(&mut taken[0]).await;
    drop(door);
    assert!(!dir.door().exists(), "the successor owns the path");
}

#[tokio::test]
async fn if_it_dies_after_its_successor_was_ready_the_successor_goes_on() {
    // Before the state, in the middle of it, and before the last word, with and without having read
    // what it was asked.
    for step in 0..4 {
        let dir = Dir::new();
        let mut script = Script::new(&dir).await;
        let (mut succession, wire) = both(succeed(&dir.door()), script.offer()).await;
        succession.take_one("port");
        let dying = async {
            assert_eq!(next(&wire).await.unwrap(), (Kind::Ready, vec![0, 0]));
            match step {
                0 => {}
                1 => wire.send(Kind::Part, b"", &[]).await.unwrap(),
                2 => {
                    wire.send(Kind::Last, b"", &[]).await.unwrap();
                    next(&wire).await.unwrap();
                }
                _ => {
                    wire.send(Kind::Last, b"", &[]).await.unwrap();
                    wire.stream().readable().await.unwrap();
                }
            }
            script.die(wire);
        };
        let state = Bytes::new("state", b"own");
        let going = async {
            let prepared = succession.ready(&carrier(&[&state])).await.unwrap();
            prepared.take_over().await.unwrap()
        };
        both(going, dying).await;
        assert_eq!(state.value(), b"own");
    }
}

#[tokio::test]
async fn if_it_stops_its_successor_goes_on_and_the_paths_remain() {
    for is_ready in [false, true] {
        let dir = Dir::new();
        let path = dir.path("app.sock");
        let unix = SocketListener::bind_unix(&path, &Arc::default()).unwrap();
        let old = Old::new(vec![("unix", vec![unix])]);
        let mut tasks = old.beside(&dir.door(), &Carrier::default()).await;
        let mut succession = succeed(&dir.door()).await;
        let taken = succession
            .take_one("unix")
            .unwrap()
            .open(&Arc::default())
            .unwrap();
        let carrier = Carrier::default();
        let prepared = match is_ready {
            true => {
                let prepared = succession.ready(&carrier).await.unwrap();
                tasks.shutdown().await;
                prepared
            }
            false => {
                tasks.shutdown().await;
                succession.ready(&carrier).await.unwrap()
            }
        };
        let expected: &[&str] = match is_ready {
            true => &["pause [0]", "abandon", "resume"],
            false => &["abandon"],
        };
        assert_eq!(old.events(), expected);
        drop(old);
        let door = prepared.take_over().await.unwrap();
        taken[0].take_over();
        assert!(path.exists() && dir.door().exists());
        UnixStream::connect(&path).await.unwrap();
        drop((door, taken));
        assert!(!path.exists() && !dir.door().exists());
    }
}

#[tokio::test(start_paused = true)]
async fn if_it_hangs_the_start_fails() {
    with_clock(Duration::from_millis(200), async {
        let dir = Dir::new();
        let hung = UnixListener::bind(dir.door()).unwrap();
        let error = text(connect(&dir.door()).await);
        assert!(
            error.ends_with("it does not answer; if it hangs, stop it"),
            "{error}"
        );
        drop(hung);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn if_it_hangs_before_the_state_the_start_fails() {
    with_clock(Duration::from_millis(200), async {
        let dir = Dir::new();
        let mut script = Script::new(&dir).await;
        let (succession, _wire) = both(succeed(&dir.door()), script.offer()).await;
        let error = text(succession.ready(&Carrier::default()).await);
        assert!(
            error.ends_with("it does not answer; if it hangs, stop it"),
            "{error}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn if_it_hangs_before_its_last_word_the_start_fails_and_it_learns_of_that() {
    with_clock(Duration::from_millis(200), async {
        let dir = Dir::new();
        let mut script = Script::new(&dir).await;
        let (succession, wire) = both(succeed(&dir.door()), script.offer()).await;
        let sending = async {
            next(&wire).await;
            wire.send(Kind::Last, b"", &[]).await.unwrap();
        };
        let (prepared, ()) = both(succession.ready(&Carrier::default()), sending).await;
        let started = tokio::time::Instant::now();
        let error = text(prepared.unwrap().take_over().await);
        // It gives up at once: from its timeout on, no word can arrive that it would have to await.
        assert!(started.elapsed() < 2 * ANSWER);
        assert!(
            error.ends_with("it does not answer; if it hangs, stop it"),
            "{error}"
        );
        let error = wire.send(Kind::Done, &[], &[]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(dir.door().exists());
    })
    .await;
}

#[tokio::test]
async fn its_refusal_is_heard_at_every_step() {
    for step in 0..3 {
        let dir = Dir::new();
        let mut script = Script::new(&dir).await;
        let refusing = async {
            let wire = match step {
                0 => script.accept().await,
                _ => script.offer().await,
            };
            next(&wire).await;
            if step == 2 {
                wire.send(Kind::Last, b"", &[]).await.unwrap();
                next(&wire).await;
            }
            wire.send(Kind::Refused, b"no\nreason", &[]).await.unwrap();
        };
        let trying = async {
            let succession = connect(&dir.door()).await?.unwrap();
            succession
                .ready(&Carrier::default())
                .await?
                .take_over()
                .await
        };
        let (tried, ()) = both(trying, refusing).await;
        let error = text(tried);
        assert!(error.ends_with("it refused: no?reason"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_closes_the_connection_again_and_again_fails_the_start() {
    with_clock(Duration::from_millis(200), async {
        let dir = Dir::new();
        let mut script = Script::new(&dir).await;
        let closing = async {
            loop {
                script.accept().await;
            }
        };
        let path = dir.door();
        let error = tokio::select! {
            connected = connect(&path) => text(connected),
            () = closing => unreachable!(),
        };
        assert!(
            error.ends_with("it closes the connection without an answer"),
            "{error}"
        );
    })
    .await;
}
