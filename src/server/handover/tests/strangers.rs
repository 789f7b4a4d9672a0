//! Clients of the hand-over's socket that are no successors.

use super::super::{
    may_take_part, read_hello,
    serve::{HELLO, MOST_SILENT},
};
use super::*;
use tokio::{io::AsyncReadExt, time::Instant};

async fn start() -> (Dir, Arc<Old>, JoinSet<()>) {
    let dir = Dir::new();
    let old = Old::on_a_port();
    let tasks = old.beside(&dir.door(), &Carrier::default()).await;
    (dir, old, tasks)
}

async fn connect_to(dir: &Dir) -> UnixStream {
    loop {
        match UnixStream::connect(dir.door()).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::task::yield_now().await;
            }
            connected => return connected.unwrap(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn thousands_of_silent_clients_delay_no_successor() {
    with_clock(Duration::ZERO, async {
        let (dir, old, mut tasks) = start().await;
        let started = Instant::now();
        let mut silent = Vec::new();
        for _ in 0..3_000 {
            silent.push(connect_to(&dir).await);
        }
        let (_listeners, _door) = take_over(&dir.door(), "127.0.0.1:0").await;
        assert_eq!(started.elapsed(), Duration::ZERO);
        tasks.join_next().await.unwrap().unwrap();
        assert_eq!(old.events(), ["pause [0]", "commit [0]"]);
    })
    .await;
}

#[tokio::test]
async fn a_successor_that_is_first_in_a_full_queue_is_heard() {
    let dir = Dir::new();
    let door = SocketListener::private(&dir.door()).await.unwrap();
    let successor = greet(&dir.door()).await;
    let mut silent = Vec::new();
    for _ in 0..4 * MOST_SILENT {
        silent.push(connect_to(&dir).await);
    }
    let old = Old::on_a_port();
    let carrier = Carrier::default();
    let spare = Spare::default();
    tokio::select! {
        () = serve(door, &*old, &carrier, &spare) => unreachable!(),
        answer = next(&successor) => assert_eq!(answer.unwrap().0, Kind::Last),
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_closed_after_a_second() {
    with_clock(Duration::from_millis(200), async {
        let (dir, old, tasks) = start().await;
        let mut silent = Vec::new();
        for _ in 0..MOST_SILENT {
            silent.push(connect_to(&dir).await);
        }
        let started = Instant::now();
        for client in &mut silent {
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        }
        assert!((HELLO..2 * HELLO).contains(&started.elapsed()));
        assert_eq!(old.events(), [""; 0]);
        drop(tasks);
    })
    .await;
}

#[tokio::test]
async fn junk_is_answered_with_nothing() {
    let (dir, old, mut tasks) = start().await;
    let mut random = 1_u64;
    for size in 0..200 {
        let mut junk = vec![0; size * 10];
        for byte in &mut junk {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = (random >> 56) as u8;
        }
        let mut client = connect_to(&dir).await;
        let _ = client.try_write(&junk);
        tokio::io::AsyncWriteExt::shutdown(&mut client)
            .await
            .unwrap();
        let mut answer = Vec::new();
        // It is closed with unread bytes.
        let _ = client.read_to_end(&mut answer).await;
        assert!(answer.is_empty());
    }
    let http = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut client = connect_to(&dir).await;
    client.try_write(http).unwrap();
    let _ = client.read_to_end(&mut Vec::new()).await;
    take_over(&dir.door(), "127.0.0.1:0").await;
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!(old.events(), ["pause [0]", "commit [0]"]);
}

#[tokio::test]
async fn a_successor_of_another_version_learns_why_it_is_refused() {
    let (dir, old, mut tasks) = start().await;
    let mut hello = super::super::MAGIC.to_vec();
    super::super::put(&mut hello, 77, b"a field of the future");
    super::super::put(&mut hello, super::super::SPEAKS, &2_u16.to_be_bytes());
    assert_eq!(read_hello(&hello), Some(2));
    let wire = Wire::new(connect_to(&dir).await);
    wire.send(Kind::Hello, &hello, &[]).await.unwrap();
    let (kind, reason) = next(&wire).await.unwrap();
    assert_eq!(kind, Kind::Refused);
    assert_eq!(reason, b"it speaks version 2 of the protocol; expected 1");
    assert!(tasks.try_join_next().is_none());
    assert_eq!(old.events(), [""; 0]);
}

#[test]
fn a_greeting_needs_its_first_bytes_and_a_version() {
    assert_eq!(
        read_hello(&super::super::hello()),
        Some(super::super::VERSION)
    );
    for wrong in [
        &b""[..],
        b"reagent",
        b"reagent hand-over",
        b"reagent hand-over\0\x01",
    ] {
        assert_eq!(read_hello(wrong), None);
    }
}

#[test]
fn only_the_same_user_and_root_take_part() {
    assert!(may_take_part(1000, 1000));
    assert!(may_take_part(0, 1000));
    assert!(!may_take_part(1000, 0));
    assert!(!may_take_part(1000, 1001));
}
