//! Which connections are closed, in which order, and how.

use super::{Knob, SECOND, echo, open};
use reagent::{
    Connection, Outcome, Server, ServerHandle, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::pressure::{Actions, Pressure};
use std::{future::pending, io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::sleep,
};

async fn start<F>(
    actions: Actions,
    serve: impl Fn(Connection) -> F + Clone + Send + Sync + 'static,
) -> (Knob, Pressure, ServerHandle, Clients)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let knob = Knob::default();
    let pressure = Pressure::builder()
        .source(knob.source())
        .actions(actions)
        .build();
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener).start(handle(serve)).await.unwrap();
    pressure.attach(&server);
    (knob, pressure, server, clients)
}

async fn is_closed(client: &mut DuplexStream) -> bool {
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::ZERO, client.read(&mut byte));
    matches!(read.await, Ok(Ok(0) | Err(_)))
}

#[tokio::test(start_paused = true)]
async fn the_idle_limit_shrinks_while_the_pressure_rises() {
    let limits = Actions::none().idle_limit(0.5..0.9, 102 * SECOND, 2 * SECOND);
    let (knob, pressure, server, clients) = start(limits, echo).await;
    let mut open_clients = Vec::new();
    for _ in 0..10 {
        open_clients.push(clients.connect().await.unwrap());
        sleep(10 * SECOND).await;
    }
    // They have been idle for 100, 90 … 10 s.
    for (value, limit, left) in [
        (0.49, None, 10),
        (0.5, Some(102), 10),
        (0.6, Some(77), 7),
        (0.7, Some(52), 5),
        (0.8, Some(27), 2),
        (0.9, Some(2), 0),
    ] {
        knob.set(value);
        sleep(SECOND / 2).await;
        assert_eq!(server.connection_count(), left, "at {value}");
        let now = pressure
            .stats()
            .idle_limit
            .map(|limit| limit.as_secs_f64().round());
        assert_eq!(now, limit.map(f64::from), "at {value}");
    }
    for client in &mut open_clients {
        assert!(is_closed(client).await);
    }
    assert_eq!(pressure.stats().asked, 10);
    assert_eq!(server.stats().aborted, 0);
}

#[tokio::test(start_paused = true)]
async fn the_idlest_are_closed_first_and_as_many_as_needed() {
    let (knob, pressure, server, clients) = start(Actions::none().close_idlest(0.8), echo).await;
    let mut all = Vec::new();
    for _ in 0..10 {
        all.push(clients.connect().await.unwrap());
        sleep(2 * SECOND).await;
    }
    // The first becomes the least idle.
    all[0].write_u8(1).await.unwrap();
    sleep(3 * SECOND).await;
    // The excess over 0.8 is a fifth of ten connections.
    knob.set(1.0);
    sleep(SECOND / 5).await;
    knob.set(0.0);
    sleep(SECOND).await;
    assert_eq!(pressure.stats().asked, 2);
    let mut left = Vec::new();
    server.for_each_connection(|connection| left.push(connection.id()));
    left.sort_unstable();
    assert_eq!(left, [1, 4, 5, 6, 7, 8, 9, 10]);
    assert!(!is_closed(&mut all[0]).await || server.connection(1).is_some());
    assert!(is_closed(&mut all[1]).await && is_closed(&mut all[2]).await);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_a_sixteenth_is_closed_at_once() {
    let (knob, pressure, server, clients) = start(Actions::none().close_idlest(0.1), echo).await;
    let mut all = Vec::new();
    for _ in 0..480 {
        all.push(clients.connect().await.unwrap());
    }
    open(&server, 480).await;
    sleep(5 * SECOND).await;
    knob.set(1.0);
    sleep(SECOND / 5).await;
    for _ in 0..8 {
        let before = pressure.stats().asked;
        let open = server.connection_count();
        sleep(SECOND / 4).await;
        let asked = pressure.stats().asked - before;
        assert!((16..=30).contains(&asked), "{asked} of {open}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_in_use_is_never_closed() {
    let busy = |conn: Connection| async move {
        conn.handle().set_busy(true);
        pending::<()>().await;
        drop(conn);
        Ok(())
    };
    let (knob, pressure, server, clients) = start(Actions::default(), busy).await;
    let mut client = clients.connect().await.unwrap();
    knob.set(1.0);
    sleep(3600 * SECOND).await;
    assert_eq!((pressure.stats().asked, server.connection_count()), (0, 1));
    assert!(!is_closed(&mut client).await);
}

/// The handler says that the connection is idle, but the client has yet to take what was written.
#[tokio::test(start_paused = true)]
async fn a_connection_with_unsent_bytes_is_never_closed() {
    let writes = |mut conn: Connection| async move {
        conn.handle().set_busy(false);
        conn.write_all(&[7; 100_000]).await?;
        conn.draining().await;
        conn.shutdown().await
    };
    let (knob, pressure, server, clients) = start(Actions::default(), writes).await;
    let mut client = clients.connect().await.unwrap();
    knob.set(1.0);
    sleep(3600 * SECOND).await;
    assert_eq!((pressure.stats().asked, server.connection_count()), (0, 1));
    let mut received = vec![0; 100_000];
    client.read_exact(&mut received).await.unwrap();
    sleep(3 * SECOND).await;
    assert_eq!(pressure.stats().asked, 1, "now it is idle");
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_says_nothing_is_idle_once_it_has_been_silent_for_long() {
    let silent = |mut conn: Connection| async move {
        let mut draining = conn.draining();
        loop {
            tokio::select! {
                byte = conn.read_u8() => conn.write_u8(byte?).await?,
                () = &mut draining => return conn.shutdown().await,
            }
        }
    };
    let (knob, pressure, server, clients) = start(Actions::default(), silent).await;
    let mut client = clients.connect().await.unwrap();
    knob.set(1.0);
    for _ in 0..3 {
        sleep(55 * SECOND).await;
        client.write_u8(7).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), 7);
    }
    assert_eq!(pressure.stats().asked, 0);
    sleep(61 * SECOND).await;
    assert_eq!((pressure.stats().asked, server.connection_count()), (1, 0));
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_answer_is_aborted_and_one_that_is_used_again_is_not() {
    let deaf = |mut conn: Connection| async move {
        let handle = conn.handle();
        loop {
            handle.set_busy(false);
            let byte = conn.read_u8().await?;
            handle.set_busy(true);
            sleep(Duration::from_secs(byte.into())).await;
            conn.write_u8(byte).await?;
        }
    };
    let (knob, pressure, server, clients) = start(Actions::default(), deaf).await;
    let mut deaf = clients.connect().await.unwrap();
    let mut used = clients.connect().await.unwrap();
    open(&server, 2).await;
    sleep(4 * SECOND).await;
    let outcome = server.connection(1).unwrap();
    knob.set(1.0);
    sleep(SECOND).await;
    assert_eq!((pressure.stats().asked, pressure.stats().aborted), (2, 0));
    used.write_u8(30).await.unwrap();
    sleep(6 * SECOND).await;
    assert_eq!(pressure.stats().aborted, 1);
    assert!(matches!(outcome.closed().await, Outcome::Aborted));
    assert!(is_closed(&mut deaf).await);
    // It was in use, and is aborted only once it is idle again and still does not finish.
    assert_eq!(used.read_u8().await.unwrap(), 30);
    sleep(4 * SECOND).await;
    assert_eq!(
        (server.connection_count(), pressure.stats().aborted),
        (0, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_aborted_once_the_pressure_is_gone() {
    let deaf = |mut conn: Connection| async move {
        conn.handle().set_busy(false);
        conn.read_u8().await.map(drop)
    };
    let (knob, pressure, server, clients) = start(Actions::default(), deaf).await;
    let _client = clients.connect().await.unwrap();
    sleep(4 * SECOND).await;
    knob.set(1.0);
    sleep(SECOND).await;
    knob.set(0.0);
    sleep(3600 * SECOND).await;
    assert_eq!((pressure.stats().asked, pressure.stats().aborted), (1, 0));
    assert_eq!(server.connection_count(), 1);
}
