//! Successions that fail: the predecessor continues, and the next successor takes over.

use super::*;

/// Waits until the predecessor has heard that its successor failed, and has a successor take over.
async fn recovers(old: &Arc<Old>, dir: &Dir, mut tasks: JoinSet<()>, events: &[&str]) {
    let expected: Vec<_> = events.iter().map(|event| (*event).to_owned()).collect();
    let mut seen = Vec::new();
    until(|| {
        seen.extend(old.events());
        seen.len() >= expected.len()
    })
    .await;
    assert_eq!(seen, expected);
    let succeeded = async {
        loop {
            // The predecessor may not have noticed yet that the one before is gone.
            let taking = async {
                let mut succession = connect(&dir.door()).await?.unwrap();
                succession.take_one("127.0.0.1:0");
                succession
                    .ready(&Carrier::default())
                    .await?
                    .take_over()
                    .await
            };
            match taking.await {
                Ok(_) => return,
                Err(error) => assert!(ErrorChain(&error).to_string().contains("in progress")),
            }
        }
    };
    succeeded.await;
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!(old.events(), ["pause [0]", "commit [0]"]);
}

async fn start(dir: &Dir) -> (Arc<Old>, JoinSet<()>) {
    let old = Old::on_a_port();
    let state = Bytes::new("state", b"kept");
    let tasks = old.beside(&dir.door(), &carrier(&[&state])).await;
    (old, tasks)
}

async fn ready(dir: &Dir) -> Prepared {
    let mut succession = succeed(&dir.door()).await;
    succession.take_one("127.0.0.1:0");
    succession.ready(&Carrier::default()).await.unwrap()
}

#[tokio::test]
async fn a_successor_that_is_dropped_before_it_is_ready_changes_nothing() {
    let dir = Dir::new();
    let (old, tasks) = start(&dir).await;
    let mut succession = succeed(&dir.door()).await;
    let taken = succession.take_one("127.0.0.1:0").unwrap();
    drop(taken.open(&Arc::default()).unwrap());
    drop(succession);
    recovers(&old, &dir, tasks, &[]).await;
}

#[tokio::test]
async fn a_successor_that_is_dropped_after_it_was_ready_changes_nothing() {
    let dir = Dir::new();
    let (old, tasks) = start(&dir).await;
    drop(ready(&dir).await);
    recovers(&old, &dir, tasks, &["pause [0]", "resume"]).await;
}

#[tokio::test]
async fn a_successor_that_cannot_restore_the_state_changes_nothing() {
    for (value, expected) in [
        (&b"bad"[..], "unknown version"),
        (b"bad panic", "cannot restore"),
    ] {
        let dir = Dir::new();
        let old = Old::on_a_port();
        let state = Bytes::new("state", value);
        let mut tasks = old.beside(&dir.door(), &carrier(&[&state])).await;
        let mut succession = succeed(&dir.door()).await;
        succession.take_one("127.0.0.1:0");
        let error = text(succession.ready(&carrier(&[&state])).await);
        assert!(
            error.contains("cannot restore the state \"state\": "),
            "{error}"
        );
        assert!(error.ends_with(expected), "{error}");
        until(|| old.events.lock().len() == 2).await;
        assert_eq!(old.events(), ["pause [0]", "resume"]);
        assert!(tasks.try_join_next().is_none());
    }
}

#[tokio::test]
async fn a_state_that_cannot_be_saved_fails_the_succession() {
    let dir = Dir::new();
    let old = Old::on_a_port();
    let state = Bytes::new("state", b"panic");
    let tasks = old.beside(&dir.door(), &carrier(&[&state])).await;
    let mut succession = succeed(&dir.door()).await;
    succession.take_one("127.0.0.1:0");
    let error = text(succession.ready(&Carrier::default()).await);
    assert!(
        error.ends_with("it refused: saving the state \"state\" panicked: cannot save"),
        "{error}"
    );
    *state.value.lock() = b"good".to_vec();
    recovers(&old, &dir, tasks, &["pause [0]", "resume"]).await;
}

#[test]
fn two_states_of_one_name_are_an_error() {
    let carrier = carrier(&[&Bytes::new("keys", b""), &Bytes::new("keys", b"")]);
    let error = carrier.check().unwrap_err();
    assert_eq!(
        error,
        "two states are named \"keys\"; give one of them another name"
    );
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_hangs_while_starting_is_given_up_after_a_minute() {
    with_clock(Duration::from_millis(200), async {
        let dir = Dir::new();
        let (old, tasks) = start(&dir).await;
        let mut succession = succeed(&dir.door()).await;
        succession.take_one("127.0.0.1:0");
        tokio::time::sleep(Duration::from_secs(61)).await;
        let error = text(succession.ready(&Carrier::default()).await);
        assert!(
            error.ends_with("it refused: the successor did not answer in time"),
            "{error}"
        );
        recovers(&old, &dir, tasks, &[]).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_successor_may_take_most_of_a_minute_to_start() {
    with_clock(Duration::from_millis(200), async {
        let dir = Dir::new();
        let (_old, mut tasks) = start(&dir).await;
        let succession = succeed(&dir.door()).await;
        tokio::time::sleep(Duration::from_secs(59)).await;
        let prepared = succession.ready(&Carrier::default()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(9)).await;
        prepared.take_over().await.unwrap();
        tasks.join_next().await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_hangs_once_it_is_ready_learns_that_it_lost() {
    with_clock(Duration::from_millis(200), async {
        let dir = Dir::new();
        let (old, tasks) = start(&dir).await;
        let prepared = ready(&dir).await;
        tokio::time::sleep(Duration::from_secs(11)).await;
        let error = text(prepared.take_over().await);
        assert!(
            error.ends_with("it refused: the successor did not answer in time"),
            "{error}"
        );
        recovers(&old, &dir, tasks, &["pause [0]", "resume"]).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn acceptors_that_do_not_pause_fail_the_succession() {
    with_clock(Duration::from_millis(200), async {
        let dir = Dir::new();
        let (old, tasks) = start(&dir).await;
        old.never_pauses.store(true, Ordering::Relaxed);
        let mut succession = succeed(&dir.door()).await;
        succession.take_one("127.0.0.1:0");
        let error = text(succession.ready(&Carrier::default()).await);
        assert!(
            error.ends_with("it refused: its acceptors did not pause in time"),
            "{error}"
        );
        old.never_pauses.store(false, Ordering::Relaxed);
        recovers(&old, &dir, tasks, &["pause [0]", "resume"]).await;
    })
    .await;
}

#[tokio::test]
async fn of_two_successors_one_wins() {
    let dir = Dir::new();
    let (old, mut tasks) = start(&dir).await;
    let mut first = succeed(&dir.door()).await;
    first.take_one("127.0.0.1:0");
    let error = text(connect(&dir.door()).await);
    assert_eq!(
        error,
        format!(
            "cannot take over from the server at {}: it refused: another succession is in progress",
            dir.door().display()
        )
    );
    let prepared = first.ready(&Carrier::default()).await.unwrap();
    connect(&dir.door()).await.unwrap_err();
    prepared.take_over().await.unwrap();
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!(old.events(), ["pause [0]", "commit [0]"]);
}

#[tokio::test]
async fn a_server_whose_sockets_cannot_be_described_refuses_and_continues() {
    let dir = Dir::new();
    let long: &'static str = String::leak("x".repeat(5000));
    let old = Old::new(vec![(long, vec![tcp()])]);
    let mut tasks = old.beside(&dir.door(), &Carrier::default()).await;
    let error = text(connect(&dir.door()).await);
    assert!(
        error.contains("its listeners cannot be described: a text has 5000 bytes"),
        "{error}"
    );
    assert!(tasks.try_join_next().is_none());
    assert_eq!(old.events(), [""; 0]);
}

#[tokio::test]
async fn a_server_begins_as_the_first_or_as_a_successor() {
    let dir = Dir::new();
    let handover = Handover::from(&dir.door());
    let Begin::First(door) = handover.begin().await.unwrap() else {
        panic!("there is no predecessor");
    };
    let old = Old::on_a_port();
    let carrier = Carrier::default();
    let spare = Spare::default();
    tokio::select! {
        () = serve(door, &*old, &carrier, &spare) => unreachable!(),
        begin = handover.begin() => {
            let Begin::Succession(mut succession) = begin.unwrap() else {
                panic!("there is a predecessor");
            };
            assert!(succession.take_one("127.0.0.1:0").is_some());
        }
    }
    let keys = || Bytes::new("keys", b"");
    let error = text(handover.carry(keys()).carry(keys()).begin().await);
    assert!(error.ends_with("two states are named \"keys\"; give one of them another name"));
    let error = text(
        Handover::new(dir.path("missing").join("door"))
            .begin()
            .await,
    );
    assert!(error.contains("the directory does not exist"), "{error}");
}
