//! A panic whose payload panics on drop has no other effects than any panic.

use crate::support::{Log, echo, echoes, memory_server, stop};
use reagent::{
    Acceptor, BoxError, Connection, ConnectionHandle, DrainReport, Observer, event, handle,
};
use std::{
    future::Future,
    io,
    panic::resume_unwind,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use tokio::io::AsyncReadExt;
use tower::{Service, service_fn};

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        resume_unwind(Box::new("a payload was dropped"));
    }
}

/// Panics without a message on standard error.
fn explode() -> ! {
    resume_unwind(Box::new(Bomb))
}

#[tokio::test]
async fn a_handler_that_panics_with_one_ends_its_own_connection_only() {
    let (server, clients, mut accepted) = memory_server();
    let server = server
        .start(handle(async |mut conn: Connection| {
            match conn.read_u8().await? {
                b'!' => explode(),
                _ => io::Result::Ok(()),
            }
        }))
        .await
        .unwrap();
    for _ in 0..3 {
        let mut client = clients.connect().await.unwrap();
        tokio::io::AsyncWriteExt::write_u8(&mut client, b'!')
            .await
            .unwrap();
        assert_eq!(
            accepted.outcome().await.to_string(),
            "panicked: a value that is not text"
        );
    }
    assert_eq!(server.stats().panicked, 3);
    stop(&server).await;
}

/// An echo service that panics a given number of times, first in `poll_ready` and then in `call`.
#[derive(Clone)]
struct Explosive {
    poll_ready: Arc<AtomicUsize>,
    call: Arc<AtomicUsize>,
}

fn explode_if_any(left: &AtomicUsize) {
    if left
        .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
        .is_ok()
    {
        explode();
    }
}

impl Service<Connection> for Explosive {
    type Response = ();
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        explode_if_any(&self.poll_ready);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, conn: Connection) -> Self::Future {
        explode_if_any(&self.call);
        Box::pin(echo(conn))
    }
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_survives_them_in_the_service_and_where_it_is_made() {
    let (server, clients, mut accepted) = memory_server();
    let log = Log::default();
    let made = Arc::new(AtomicUsize::new(0));
    let service = Explosive {
        poll_ready: Arc::new(AtomicUsize::new(2)),
        call: Arc::new(AtomicUsize::new(2)),
    };
    let server = server
        .observe(log.clone())
        .start_make({
            let made = made.clone();
            service_fn(move |_: Acceptor| {
                // The start itself must succeed.
                let explodes = made.fetch_add(1, SeqCst) == 1;
                let service = service.clone();
                async move {
                    match explodes {
                        true => explode(),
                        false => Ok::<_, BoxError>(service),
                    }
                }
            })
        })
        .await
        .unwrap();
    for _ in 0..2 {
        let _client = clients.connect().await.unwrap();
        assert_eq!(
            accepted.outcome().await.to_string(),
            "panicked: a value that is not text"
        );
    }
    let mut client = clients.connect().await.unwrap();
    assert!(echoes(&mut client, "still here").await);
    assert_eq!(server.stats().acceptors, 1);
    assert_eq!(
        log.count("acceptor failed: 0: panicked: a value that is not text"),
        3
    );
    drop(client);
    stop(&server).await;
}

/// Panics at every event.
struct Detonator;

impl Observer for Detonator {
    fn listener_started(&self, _: &event::Listening<'_>) {
        explode()
    }

    fn acceptor_started(&self, _: &Acceptor) {
        explode()
    }

    fn acceptor_stopped(&self, _: &Acceptor) {
        explode()
    }

    fn connection_started(&self, _: &ConnectionHandle) {
        explode()
    }

    fn connection_ended(&self, _: &event::ConnectionEnded<'_>) {
        explode()
    }

    fn drain_started(&self, _: &event::DrainStarted) {
        explode()
    }

    fn drain_ended(&self, _: &DrainReport) {
        explode()
    }
}

#[tokio::test]
async fn a_server_survives_them_in_an_observer() {
    let (server, clients, mut accepted) = memory_server();
    let log = Log::default();
    let server = server
        .observe(Detonator)
        .observe(log.clone())
        .start(handle(echo))
        .await
        .unwrap();
    for _ in 0..3 {
        let mut client = clients.connect().await.unwrap();
        assert!(echoes(&mut client, "hello").await);
        drop(client);
        assert_eq!(accepted.outcome().await.to_string(), "completed");
    }
    server.set_acceptors(3);
    log.wait_for("acceptor started", 3).await;
    server.set_acceptors(1);
    log.wait_for("acceptor stopped", 2).await;
    let mut client = clients.connect().await.unwrap();
    assert!(echoes(&mut client, "still here").await);
    drop(client);
    stop(&server).await;
    assert_eq!(log.count("drain ended"), 1);
}

#[tokio::test]
async fn guards_of_a_connection_may_all_panic_when_they_are_dropped() {
    let (server, clients, mut accepted) = memory_server();
    let server = server
        .start(handle(async |conn: Connection| {
            (0..3).for_each(|_| conn.keep(Bomb));
            echo(conn).await
        }))
        .await
        .unwrap();
    let mut client = clients.connect().await.unwrap();
    assert!(echoes(&mut client, "hello").await);
    drop(client);
    assert_eq!(accepted.outcome().await.to_string(), "completed");
    stop(&server).await;
}
