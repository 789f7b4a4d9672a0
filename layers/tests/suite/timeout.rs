//! `TimeoutsLayer`: each timeout ends the connections it should, at the right time, and no others.

use crate::support::{Ends, Served, echo, echoes};
use reagent::{
    BoxError, BoxIo, Connection, ConnectionService, Outcome, Server, Spawn, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::timeout::{TimedIo, TimeoutsLayer};
use std::{
    future::pending,
    io,
    task::{Context, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

const SECOND: Duration = Duration::from_secs(1);

fn none() -> TimeoutsLayer {
    TimeoutsLayer::new().first_byte(None).idle(None).write(None)
}

async fn start<S>(layer: TimeoutsLayer, service: S) -> (Served, Clients)
where
    S: Clone + ConnectionService<TimedIo<BoxIo>>,
{
    let (listener, clients) = MemoryListener::new();
    let ends = Ends::default();
    let server = Server::new(listener)
        .observe(ends.clone())
        .layer(layer)
        .start(service)
        .await
        .unwrap();
    (Served { server, ends }, clients)
}

/// Returns the timeout that ended the first connection, and the seconds until then.
async fn ended(server: &Served) -> (String, u64) {
    let began = Instant::now();
    match server.ends.of(1).await {
        Outcome::TimedOut(limit) => (limit.kind().to_owned(), began.elapsed().as_secs()),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_nothing_is_ended_at_the_first_byte() {
    let (server, clients) = start(none().first_byte(5 * SECOND), handle(echo)).await;
    let mut client = clients.connect().await.unwrap();
    assert_eq!(ended(&server).await, ("first byte".into(), 5));
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_the_first_byte_there_is_time() {
    let (server, clients) = start(none().first_byte(5 * SECOND), handle(echo)).await;
    let mut client = clients.connect().await.unwrap();
    sleep(4 * SECOND).await;
    assert!(echoes(&mut client, "x").await);
    sleep(3600 * SECOND).await;
    assert!(echoes(&mut client, "y").await);
    assert_eq!(server.connection_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn idle_counts_from_the_last_byte_either_way() {
    // Sends every four seconds for a while, and then stops.
    let speaker = handle(|mut conn: Connection| async move {
        for _ in 0..3 {
            sleep(4 * SECOND).await;
            conn.write_all(b"tick").await?;
        }
        pending::<io::Result<()>>().await
    });
    let (server, clients) = start(none().idle(5 * SECOND), speaker).await;
    let mut client = clients.connect().await.unwrap();
    // The connection is active in both directions.
    let reading = async {
        sleep(14 * SECOND).await;
        client.write_all(b"not read by anybody").await.unwrap();
        pending::<()>().await;
    };
    tokio::select! {
        ended = ended(&server) => assert_eq!(ended, ("idle".into(), 17)),
        () = reading => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_nothing_does_not_escape() {
    let (server, clients) = start(
        none().idle(7 * SECOND),
        handle(|_: Connection| pending::<io::Result<()>>()),
    )
    .await;
    let _client = clients.connect().await.unwrap();
    assert_eq!(ended(&server).await, ("idle".into(), 7));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_stalls_is_ended_and_a_pause_between_reads_is_not() {
    let thinker = handle(|mut conn: Connection| async move {
        conn.read_u8().await?;
        sleep(60 * SECOND).await;
        conn.read_u8().await?;
        io::Result::Ok(())
    });
    let (server, clients) = start(none().read(5 * SECOND), thinker).await;
    let mut client = clients.connect().await.unwrap();
    client.write_all(b"x").await.unwrap();
    assert_eq!(ended(&server).await, ("read".into(), 65));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_ended() {
    let flood = handle(|mut conn: Connection| async move {
        loop {
            conn.write_all(&[0; 64 * 1024]).await?;
        }
        #[expect(unreachable_code, reason = "it gives the type")]
        io::Result::Ok(())
    });
    let (server, clients) = start(none().write(5 * SECOND), flood).await;
    let mut client = clients.connect().await.unwrap();
    sleep(3 * SECOND).await;
    // Reading makes progress and makes room for another write.
    client.read_exact(&mut vec![0; 64 * 1024]).await.unwrap();
    assert_eq!(ended(&server).await, ("write".into(), 5));
}

#[tokio::test(start_paused = true)]
async fn a_slow_loris_is_below_the_least_rate() {
    let layer = none().min_rate(10, 10 * SECOND);
    let (server, clients) = start(layer, handle(echo)).await;
    let mut client = clients.connect().await.unwrap();
    let slow = async {
        // Fifty bytes in each direction, then one byte per second.
        client.write_all(&[0; 50]).await.unwrap();
        loop {
            sleep(SECOND).await;
            if client.write_all(b"x").await.is_err() {
                pending::<()>().await;
            }
        }
    };
    tokio::select! {
        ended = ended(&server) => assert_eq!(ended, ("rate".into(), 20)),
        () = slow => {}
    }
}

#[tokio::test(start_paused = true)]
async fn old_connections_are_asked_to_finish_and_then_ended() {
    let layer = || none().max_age(60 * SECOND, Duration::ZERO, 10 * SECOND);
    let obedient = handle(|conn: Connection| async move {
        conn.draining().await;
        Ok::<_, BoxError>(())
    });
    let (server, clients) = start(layer(), obedient).await;
    let _client = clients.connect().await.unwrap();
    let began = Instant::now();
    assert!(matches!(server.ends.of(1).await, Outcome::Drained));
    assert_eq!(began.elapsed().as_secs(), 60);

    let (server, clients) = start(layer(), handle(echo)).await;
    let _client = clients.connect().await.unwrap();
    assert_eq!(ended(&server).await, ("age".into(), 70));
}

#[tokio::test(start_paused = true)]
async fn jitter_spreads_the_ends_of_connections_that_came_together() {
    let layer = none().max_age(60 * SECOND, 60 * SECOND, Duration::ZERO);
    let (server, clients) = start(layer, handle(echo)).await;
    let mut kept = Vec::new();
    for _ in 0..50 {
        kept.push(clients.connect().await.unwrap());
    }
    sleep(59 * SECOND).await;
    assert_eq!(server.connection_count(), 50);
    let mut counts = std::collections::BTreeSet::new();
    for _ in 0..62 {
        sleep(SECOND).await;
        counts.insert(server.connection_count());
    }
    assert!(counts.len() > 10 && counts.contains(&0), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn the_first_limit_to_be_exceeded_is_the_one() {
    let layer = none()
        .first_byte(9 * SECOND)
        .idle(8 * SECOND)
        .read(7 * SECOND)
        .write(6 * SECOND);
    let (server, clients) = start(layer, handle(echo)).await;
    let _client = clients.connect().await.unwrap();
    assert_eq!(ended(&server).await, ("read".into(), 7));
}

#[tokio::test(start_paused = true)]
async fn active_connections_are_not_ended() {
    let layer = none()
        .first_byte(SECOND)
        .idle(2 * SECOND)
        .read(2 * SECOND)
        .write(2 * SECOND)
        .min_rate(1, 5 * SECOND);
    let (server, clients) = start(layer, handle(echo)).await;
    let mut client = clients.connect().await.unwrap();
    for _ in 0..1000 {
        assert!(echoes(&mut client, "still here").await);
        sleep(SECOND).await;
    }
    drop(client);
    assert!(matches!(server.ends.of(1).await, Outcome::Completed));
}

/// A handler that does something else before it echoes, such as connecting to an upstream.
fn late(by: Duration) -> impl ConnectionService<TimedIo<BoxIo>> + Clone {
    handle(move |conn: Connection| async move {
        sleep(by).await;
        echo(conn).await
    })
}

#[tokio::test(start_paused = true)]
async fn a_client_that_spoke_at_once_does_not_pay_for_a_handler_that_reads_late() {
    for layer in [none().first_byte(5 * SECOND), none().read(5 * SECOND)] {
        let (_server, clients) = start(layer, late(15 * SECOND)).await;
        let mut client = clients.connect().await.unwrap();
        assert!(echoes(&mut client, "at once").await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_has_its_time_from_the_first_read_on_and_no_more() {
    let (server, clients) = start(none().first_byte(5 * SECOND), late(31 * SECOND)).await;
    let _client = clients.connect().await.unwrap();
    assert_eq!(ended(&server).await, ("first byte".into(), 36));

    // Reads that are dropped and restarted count as one wait.
    let impatient = handle(|mut conn: Connection| async move {
        let mut buf = [0; 8];
        loop {
            tokio::select! {
                read = conn.read(&mut buf) => return read.map(drop),
                () = sleep(SECOND / 3) => {}
            }
        }
    });
    let (server, clients) = start(none().first_byte(5 * SECOND), impatient).await;
    let _client = clients.connect().await.unwrap();
    assert_eq!(ended(&server).await, ("first byte".into(), 5));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_computes_does_not_make_its_client_slow() {
    let layer = none().min_rate(10, 10 * SECOND);
    let worker = handle(|mut conn: Connection| async move {
        for _ in 0..5 {
            conn.read_u8().await?;
            sleep(60 * SECOND).await;
            conn.write_u8(b'!').await?;
        }
        io::Result::Ok(())
    });
    let (server, clients) = start(layer, worker).await;
    let mut client = clients.connect().await.unwrap();
    client.write_all(b"12345").await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"!!!!!");
    assert!(matches!(server.ends.of(1).await, Outcome::Completed));
}

/// Writes more than the client reads, gives up after a second, and continues with `then`.
fn gives_up<F: Future<Output = io::Result<()>> + Send + 'static>(
    then: impl Fn(Connection) -> F + Clone + Send + Sync + 'static,
) -> impl ConnectionService<TimedIo<BoxIo>> + Clone {
    handle(move |mut conn: Connection| {
        let then = then.clone();
        async move {
            let write = conn.write_all(&[0; 1024 * 1024]);
            assert!(tokio::time::timeout(SECOND, write).await.is_err());
            then(conn).await
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_given_up_is_no_wait() {
    let reader = |mut conn: Connection| async move {
        while conn.read(&mut [0; 8]).await? > 0 {}
        io::Result::Ok(())
    };
    let (server, clients) = start(none().write(5 * SECOND), gives_up(reader)).await;
    let mut client = clients.connect().await.unwrap();
    for _ in 0..100 {
        sleep(SECOND).await;
        client.write_all(b"x").await.unwrap();
    }
    assert_eq!(server.connection_count(), 1);
    drop(client);
    assert!(matches!(server.ends.of(1).await, Outcome::Completed));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_was_given_up_is_no_wait() {
    let writer = handle(|mut conn: Connection| async move {
        let read = tokio::time::timeout(SECOND, conn.read_u8()).await;
        assert!(read.is_err());
        for _ in 0..100 {
            sleep(SECOND).await;
            conn.write_u8(b'x').await?;
        }
        io::Result::Ok(())
    });
    for layer in [none().first_byte(5 * SECOND), none().read(5 * SECOND)] {
        let (_server, clients) = start(layer, writer.clone()).await;
        let mut client = clients.connect().await.unwrap();
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes.len(), 100);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_after_one_that_was_given_up_has_its_whole_time() {
    let again = |mut conn: Connection| async move {
        sleep(20 * SECOND).await;
        conn.write_all(&[0; 1024 * 1024]).await
    };
    let (server, clients) = start(none().write(5 * SECOND), gives_up(again)).await;
    let _client = clients.connect().await.unwrap();
    assert_eq!(ended(&server).await, ("write".into(), 26));
}

#[tokio::test(start_paused = true)]
async fn a_write_is_ended_in_time_in_whatever_task_it_waits() {
    // Two tasks with one half each, of which only the writer waits for the client.
    let halves = handle(|conn: Connection| async move {
        let (mut reader, mut writer) = tokio::io::split(conn);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { writer.write_all(&[0; 1024 * 1024]).await });
        tasks.spawn(async move {
            while reader.read(&mut [0; 8]).await? > 0 {}
            io::Result::Ok(())
        });
        while tasks.join_next().await.is_some() {}
        io::Result::Ok(())
    });
    // Futures that are polled only if they themselves are woken.
    let woken = handle(|conn: Connection| async move {
        let (mut reader, mut writer) = tokio::io::split(conn);
        let write = async move { writer.write_all(&[0; 1024 * 1024]).await };
        let read = async move {
            while reader.read(&mut [0; 8]).await? > 0 {}
            io::Result::Ok(())
        };
        let mut both = futures_util::stream::FuturesUnordered::new();
        both.push(Box::pin(write) as futures_util::future::BoxFuture<'_, io::Result<()>>);
        both.push(Box::pin(read));
        while futures_util::StreamExt::next(&mut both).await.is_some() {}
        io::Result::Ok(())
    });
    async fn ends(service: impl ConnectionService<TimedIo<BoxIo>> + Clone) {
        let (server, clients) = start(none().write(5 * SECOND), service).await;
        let mut client = clients.connect().await.unwrap();
        let speaks = async {
            loop {
                sleep(SECOND / 3).await;
                if client.write_all(b"x").await.is_err() {
                    pending::<()>().await;
                }
            }
        };
        tokio::select! {
            ended = ended(&server) => assert_eq!(ended, ("write".into(), 5)),
            () = speaks => {}
        }
    }
    ends(halves).await;
    ends(woken).await;
}

/// Polls a future once with another waker, before it runs in its task.
#[derive(Clone)]
struct Handed;

impl Spawn for Handed {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        let mut future = Box::pin(future);
        #[expect(clippy::disallowed_methods, reason = "it is what `Spawn` is for")]
        tokio::spawn(async move {
            let first = future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert!(first.is_pending());
            future.await;
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_a_library_moved_into_its_own_task_ends_too() {
    let library = handle(|conn: Connection| async move {
        JoinSet::from_iter([echo(conn)]).detach_all();
        pending::<io::Result<()>>().await
    });
    let (server, clients) = start(none().idle(5 * SECOND), library).await;
    let mut client = clients.connect().await.unwrap();
    assert!(echoes(&mut client, "x").await);
    let ended = timeout(60 * SECOND, ended(&server)).await;
    assert_eq!(ended.unwrap(), ("idle".into(), 5));
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_latest_task_to_poll_is_woken_and_not_an_earlier_one() {
    let (listener, clients) = MemoryListener::new();
    let ends = Ends::default();
    let server = Server::new(listener)
        .observe(ends.clone())
        .layer(none().first_byte(5 * SECOND))
        .spawn_with(Handed)
        .start(handle(echo))
        .await
        .unwrap();
    let _client = clients.connect().await.unwrap();
    let served = Served { server, ends };
    assert_eq!(ended(&served).await, ("first byte".into(), 5));
}

#[tokio::test]
async fn vectored_writes_go_through() {
    let server = Server::bind("127.0.0.1:0")
        .layer(TimeoutsLayer::new())
        .start(handle(|mut conn: Connection| async move {
            assert!(tokio::io::AsyncWrite::is_write_vectored(&conn));
            let bufs = [io::IoSlice::new(b"he"), io::IoSlice::new(b"llo")];
            assert_eq!(conn.write_vectored(&bufs).await?, 5);
            io::Result::Ok(())
        }))
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let mut client = tokio::net::TcpStream::connect(addr).await.unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello");
}

/// After a mere close, the unread bytes would stay in the kernel for as long as the client likes.
#[tokio::test]
async fn a_client_that_takes_nothing_is_reset() {
    let flood = handle(|mut conn: Connection| async move {
        while conn.write_all(&[0; 65_536]).await.is_ok() {}
        io::Result::Ok(())
    });
    let ends = Ends::default();
    let server = Server::bind("127.0.0.1:0")
        .observe(ends.clone())
        .layer(none().write(Duration::from_millis(50)))
        .start(flood)
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let mut client = TcpStream::connect(addr).await.unwrap();
    assert!(matches!(ends.of(1).await, Outcome::TimedOut(limit) if limit.kind() == "write"));
    let error = client.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}
