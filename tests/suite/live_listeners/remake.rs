//! Services that are replaced while the server runs.

use crate::support::{Log, beside, connect, echo, echoes, soon, stop};
use reagent::{Acceptor, BoxError, Connection, Server, ServerHandle, handle};
use std::{
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::service_fn;

/// Sends each client the number that was current when its acceptor got its service. Services for
/// the number 13 cannot be made, and those for 99 are never ready.
async fn numbered(server: Server, number: &Arc<AtomicU8>) -> ServerHandle {
    let number = number.clone();
    let make = service_fn(move |_: Acceptor| {
        let number = number.load(Ordering::Relaxed);
        async move {
            match number {
                13 => return Err("unlucky".into()),
                14 => panic!("unluckier"),
                99 => pending().await,
                _ => {}
            }
            Ok::<_, BoxError>(handle(move |mut conn: Connection| async move {
                conn.write_u8(number).await?;
                echo(conn).await
            }))
        }
    });
    server.start_make(make).await.unwrap()
}

async fn number_of(server: &ServerHandle) -> io::Result<u8> {
    soon(async { connect(server).await.read_u8().await }).await
}

#[tokio::test]
async fn every_acceptor_gets_a_new_service() {
    let number = Arc::new(AtomicU8::new(1));
    let server = Server::bind(["127.0.0.1:0", "127.0.0.1:0"]).acceptors(3);
    let server = numbered(server, &number).await;
    let mut old = connect(&server).await;
    assert_eq!(old.read_u8().await.unwrap(), 1);
    number.store(2, Ordering::Relaxed);
    server.remake_services();
    soon(server.settled()).await;
    for _ in 0..10 {
        assert_eq!(number_of(&server).await.unwrap(), 2);
    }
    assert!(echoes(&mut old, "the old connection").await);
    assert_eq!(server.stats().acceptors, 6);
    drop(old);
    stop(&server).await;
}

#[tokio::test]
async fn a_service_whose_replacement_panics_stays() {
    let number = Arc::new(AtomicU8::new(1));
    let server = numbered(Server::bind("127.0.0.1:0"), &number).await;
    number.store(14, Ordering::Relaxed);
    server.remake_services();
    soon(server.settled()).await;
    assert_eq!(server.stats().acceptors, 1);
    assert_eq!(number_of(&server).await.unwrap(), 1);
    stop(&server).await;
}

#[tokio::test]
async fn a_service_that_cannot_be_made_anew_stays() {
    let number = Arc::new(AtomicU8::new(1));
    let log = Log::default();
    let server = Server::bind("127.0.0.1:0").observe(log.clone());
    let server = numbered(server, &number).await;
    number.store(13, Ordering::Relaxed);
    server.remake_services();
    soon(server.settled()).await;
    assert_eq!(log.count("acceptor failed"), 1, "{:?}", log.events());
    assert_eq!(log.count("acceptor stopped"), 0);
    assert_eq!(number_of(&server).await.unwrap(), 1);
    number.store(3, Ordering::Relaxed);
    server.remake_services();
    soon(server.settled()).await;
    assert_eq!(number_of(&server).await.unwrap(), 3);
    stop(&server).await;
}

#[tokio::test]
async fn a_service_that_is_never_made_does_not_delay_a_drain() {
    let number = Arc::new(AtomicU8::new(1));
    let server = numbered(Server::bind("127.0.0.1:0"), &number).await;
    number.store(99, Ordering::Relaxed);
    server.remake_services();
    tokio::task::yield_now().await;
    // The client in the queue is served by the service that there is.
    let mut client = connect(&server).await;
    let drain = beside({
        let server = server.clone();
        async move { stop(&server).await }
    });
    assert_eq!(soon(client.read_u8()).await.unwrap(), 1);
    drop(client);
    soon(drain).await.unwrap();
}

#[tokio::test]
async fn a_clone_is_replaced_too_and_nobody_notices() {
    let server = Server::bind("127.0.0.1:0")
        .start(handle(echo))
        .await
        .unwrap();
    let mut client = connect(&server).await;
    assert!(echoes(&mut client, "hello").await);
    server.remake_services();
    soon(server.settled()).await;
    assert!(echoes(&mut client, "hello").await);
    assert!(echoes(&mut connect(&server).await, "hello").await);
    drop(client);
    stop(&server).await;
}
