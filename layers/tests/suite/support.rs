//! What the modules share.

use reagent::{Connection, Outcome, ServerHandle};
use std::{io, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What no test should take; a test that waits longer hangs.
pub const LONG: Duration = Duration::from_secs(20);

/// Sends back what it gets, until the client has sent all.
pub async fn echo(mut conn: Connection) -> io::Result<()> {
    let mut buf = [0; 1024];
    loop {
        match conn.read(&mut buf).await? {
            0 => return Ok(()),
            n => conn.write_all(&buf[..n]).await?,
        }
    }
}

/// Whether what is sent comes back.
pub async fn echoes(client: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), text: &str) -> bool {
    let exchange = async {
        client.write_all(text.as_bytes()).await?;
        let mut answer = vec![0; text.len()];
        client.read_exact(&mut answer).await?;
        io::Result::Ok(answer == text.as_bytes())
    };
    matches!(tokio::time::timeout(LONG, exchange).await, Ok(Ok(true)))
}

/// How the connection of this number ends.
pub async fn outcome(server: &ServerHandle, id: u64) -> Outcome {
    let connection = async {
        loop {
            match server.connection(id) {
                Some(connection) => return connection,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let closed = async { connection.await.closed().await };
    tokio::time::timeout(LONG * 1000, closed)
        .await
        .expect("an end")
}
