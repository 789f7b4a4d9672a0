//! Connections with every kind of outcome.

use crate::support::LONG;
use reagent::{BoxError, Connection, Rejected, ServerHandle, TimedOut, testing::Clients};
use std::{future::pending, io, panic::resume_unwind};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Commands for [`as_told`] with their outcomes. Two more commands wait for a drain: `w` obeys it,
/// and `h` ignores it.
pub const WAYS: [(u8, &str); 7] = [
    (b'c', "completed"),
    (b'f', "failed"),
    (b'r', "rejected"),
    (b't', "timed_out"),
    (b'd', "drained"),
    (b'a', "aborted"),
    (b'p', "panicked"),
];

/// Echoes the first byte of the client, and ends as it requests.
pub async fn as_told(mut conn: Connection) -> Result<(), BoxError> {
    let way = conn.read_u8().await?;
    conn.write_all(&[way]).await?;
    end_so(conn, way).await
}

/// Ends in this way.
pub async fn end_so(conn: Connection, way: u8) -> Result<(), BoxError> {
    match way {
        b'c' => Ok(()),
        b'f' => Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
        b'r' => Err(Rejected::new("as told").into()),
        b't' => Err(TimedOut::new("as told").into()),
        b'd' => {
            conn.handle().drain();
            conn.draining().await;
            Ok(())
        }
        b'a' => {
            conn.handle().abort();
            pending().await
        }
        // Without the panic hook, which would print.
        b'p' => resume_unwind(Box::new("as told")),
        b'w' => {
            conn.draining().await;
            Ok(())
        }
        _ => pending().await,
    }
}

/// Connects and sends a command.
pub async fn tell(clients: &Clients, way: u8) -> DuplexStream {
    let mut client = clients.connect().await.unwrap();
    client.write_all(&[way]).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), way);
    client
}

/// Connects, sends a command, and waits for the end.
pub async fn end(clients: &Clients, way: u8) {
    let mut client = tell(clients, way).await;
    let mut rest = [0];
    let end = tokio::time::timeout(LONG, client.read(&mut rest)).await;
    assert_eq!(end.expect("an end").unwrap(), 0);
}

/// Waits until no connection is open.
pub async fn all_ended(server: &ServerHandle) {
    crate::support::until("all have ended", || server.connection_count() == 0).await;
}
