//! Successors that break off, hang, or break the protocol, frame by frame.

use super::*;
use std::os::fd::AsFd;

/// The number of messages of a successor: it greets, is ready, and has restored the state.
const STEPS: usize = 3;

fn message(step: usize) -> (Kind, Vec<u8>) {
    match step {
        0 => (Kind::Hello, super::super::hello()),
        1 => (Kind::Ready, vec![0, 0]),
        _ => (Kind::Restored, Vec::new()),
    }
}

/// Returns a message as it is sent.
fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind], &len[..], body].concat()
}

async fn start() -> (Dir, Arc<Old>, JoinSet<()>) {
    let dir = Dir::new();
    let old = Old::on_a_port();
    let tasks = old.beside(&dir.door(), &Carrier::default()).await;
    (dir, old, tasks)
}

/// Goes through the first steps of a succession.
async fn begin(dir: &Dir, steps: usize) -> Wire {
    'again: loop {
        let wire = Wire::new(UnixStream::connect(dir.door()).await.unwrap());
        for step in 0..steps {
            let (kind, body) = message(step);
            wire.send(kind, &body, &[]).await.unwrap();
            match next(&wire).await.unwrap().0 {
                // The predecessor has not noticed yet that the one before is gone.
                Kind::Refused => continue 'again,
                kind => assert_eq!(kind, Kind::Last),
            }
        }
        return wire;
    }
}

/// Waits until the predecessor has recovered from a succession that failed after `steps`.
async fn recovered(old: &Old, steps: usize) {
    let expected: &[&str] = match steps {
        0 | 1 => &[],
        _ => &["pause [0]", "resume"],
    };
    until(|| old.events.lock().len() >= expected.len()).await;
    assert_eq!(old.events(), expected);
}

/// Checks that the predecessor still serves successors.
async fn is_served(dir: &Dir, old: &Old, tasks: &mut JoinSet<()>) {
    begin(dir, 1).await;
    assert!(tasks.try_join_next().is_none());
    assert_eq!(old.events(), [""; 0]);
}

#[tokio::test]
async fn one_that_breaks_off_at_any_byte_changes_nothing() {
    let (dir, old, mut tasks) = start().await;
    for step in 0..STEPS {
        let (kind, body) = message(step);
        let frame = frame(kind as u8, &body);
        for cut in 0..frame.len() {
            let wire = begin(&dir, step).await;
            assert_eq!(wire.stream().try_write(&frame[..cut]).unwrap(), cut);
            drop(wire);
            recovered(&old, step).await;
        }
    }
    is_served(&dir, &old, &mut tasks).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_at_any_byte_is_refused_and_changes_nothing() {
    with_clock(Duration::from_millis(200), async {
        let (dir, old, mut tasks) = start().await;
        for step in 1..STEPS {
            let (kind, body) = message(step);
            let frame = frame(kind as u8, &body);
            for cut in 0..frame.len() {
                let wire = begin(&dir, step).await;
                assert_eq!(wire.stream().try_write(&frame[..cut]).unwrap(), cut);
                let (kind, reason) = next(&wire).await.unwrap();
                assert_eq!(kind, Kind::Refused);
                assert_eq!(reason, b"the successor did not answer in time");
                assert!(next(&wire).await.is_none());
                recovered(&old, step).await;
            }
        }
        is_served(&dir, &old, &mut tasks).await;
    })
    .await;
}

#[tokio::test]
async fn one_that_breaks_the_protocol_is_refused_and_changes_nothing() {
    let (dir, old, mut tasks) = start().await;
    let too_long = [&[Kind::Ready as u8][..], &40_000_u32.to_be_bytes()].concat();
    let huge = [&[Kind::Ready as u8][..], &[0xff; 4]].concat();
    let wrong = [
        (1, frame(99, b""), "a message has the unknown kind 99"),
        (
            1,
            frame(Kind::Hello as u8, b""),
            "an unexpected message arrived: Hello",
        ),
        (
            1,
            frame(Kind::Next as u8, b""),
            "an unexpected message arrived: Next",
        ),
        (
            1,
            frame(Kind::Restored as u8, b""),
            "an unexpected message arrived: Restored",
        ),
        (
            1,
            frame(Kind::Done as u8, b""),
            "an unexpected message arrived: Done",
        ),
        (
            1,
            too_long,
            "a message has 40000 bytes; expected at most 32768",
        ),
        (
            1,
            huge,
            "a message has 4294967295 bytes; expected at most 32768",
        ),
        (
            1,
            frame(Kind::Ready as u8, &[0]),
            "the list of listeners that are taken is invalid",
        ),
        (
            1,
            frame(Kind::Ready as u8, &[0, 1]),
            "the list of listeners that are taken is invalid",
        ),
        (
            1,
            frame(Kind::Ready as u8, &[0; 4]),
            "the list of listeners that are taken is invalid",
        ),
        (
            2,
            frame(Kind::Ready as u8, &[0, 0]),
            "an unexpected message arrived: Ready",
        ),
        (
            2,
            frame(Kind::Next as u8, b""),
            "an unexpected message arrived: Next",
        ),
    ];
    for (steps, bytes, expected) in wrong {
        let wire = begin(&dir, steps).await;
        assert_eq!(wire.stream().try_write(&bytes).unwrap(), bytes.len());
        let (kind, reason) = next(&wire).await.unwrap();
        assert_eq!(kind, Kind::Refused);
        assert_eq!(String::from_utf8(reason).unwrap(), expected);
        recovered(&old, steps).await;
    }
    is_served(&dir, &old, &mut tasks).await;
}

#[tokio::test]
async fn descriptors_of_a_successor_are_closed() {
    let (dir, old, mut tasks) = start().await;
    let wire = begin(&dir, 1).await;
    let socket = tcp();
    let addr = socket.local_addr().socket_addr().unwrap();
    let fd = socket.descriptor().unwrap();
    wire.send(Kind::Ready, &[0, 0], &[fd.as_fd()])
        .await
        .unwrap();
    let (kind, reason) = next(&wire).await.unwrap();
    assert_eq!(kind, Kind::Refused);
    assert_eq!(reason, b"more than 0 descriptors were sent");
    drop((socket, fd));
    let refused = tokio::net::TcpStream::connect(addr).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    is_served(&dir, &old, &mut tasks).await;
}

#[tokio::test]
async fn a_successor_that_is_dead_by_the_time_of_the_last_word_changes_nothing() {
    let (dir, old, mut tasks) = start().await;
    let wire = begin(&dir, 2).await;
    wire.send(Kind::Restored, &[], &[]).await.unwrap();
    // Its message is in the queue of the predecessor, which has not run since.
    drop(wire);
    recovered(&old, 2).await;
    is_served(&dir, &old, &mut tasks).await;
}
