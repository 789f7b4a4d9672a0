//! `testing::connection` creates a connection for unit tests, without a server.

use crate::support::{rest, soon};
use reagent::{BoxError, Connection, IoStream, Phase, Rejected, Upgrade, handle, testing};
use std::{pin::pin, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};
use tower::Service;

#[tokio::test]
async fn it_has_what_a_handler_asks_of_a_connection() {
    let (mut conn, mut client) = testing::connection();
    assert_eq!(conn.id(), 1);
    assert_eq!(conn.peer_addr().to_string(), "client");
    assert_eq!(conn.listener_addr().to_string(), "testing");
    assert_eq!(conn.local_addr().unwrap(), *conn.listener_addr());
    assert!(!conn.is_secure() && conn.state::<String>().is_none());
    conn.label("user", "bob");
    conn.write_all(b"hello").await.unwrap();
    let handle = conn.handle();
    assert_eq!(
        (handle.bytes_written(), handle.label("user").unwrap()),
        (5, "bob".into())
    );
    assert_eq!(handle.phase(), Phase::Handling);
    drop(conn);
    soon(handle.closed()).await;
    assert_eq!(rest(&mut client).await.unwrap(), b"hello");
}

#[tokio::test]
async fn a_handler_is_called_with_it_and_hears_a_drain() {
    let mut service = handle(|mut conn: Connection| async move {
        conn.draining().await;
        conn.write_all(b"bye").await
    });
    let (conn, mut client) = testing::connection();
    let handle = conn.handle();
    let served = service.call(conn);
    handle.drain();
    let served: Result<(), BoxError> = soon(served).await;
    served.unwrap();
    assert_eq!(rest(&mut client).await.unwrap(), b"bye");
}

/// Admits clients that send the right byte.
struct Knock;

impl<Io: IoStream> Upgrade<Io> for Knock {
    type Io = Io;

    async fn upgrade(&self, mut conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
        match conn.read_u8().await? {
            b'k' => Ok(conn),
            _ => Err(Rejected::new("no knock").into()),
        }
    }
}

#[tokio::test]
async fn an_upgrade_is_tested_with_it() {
    for (byte, is_admitted) in [(b'k', true), (b'x', false)] {
        let (conn, mut client) = testing::connection();
        client.write_u8(byte).await.unwrap();
        let upgraded = Knock.upgrade(conn).await;
        assert_eq!(upgraded.is_ok(), is_admitted);
    }
}

#[tokio::test(start_paused = true)]
async fn its_opening_takes_as_long_as_with_the_defaults_of_a_server() {
    const SECOND: Duration = Duration::from_secs(1);
    let (conn, _client) = testing::connection();
    let handle = conn.handle();
    let header = pin!(sleep(25 * SECOND));
    let read = handle.within_opening(Some(30 * SECOND), header).await;
    assert_eq!(read, Some(()));
    assert_eq!(conn.opening_left(20 * SECOND), 5 * SECOND);
}
