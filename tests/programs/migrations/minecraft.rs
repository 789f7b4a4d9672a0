//! The Minecraft server, whose first half reads PROXY headers in `accept`.

use super::{assert_stalled, silent_clients, start};
use crate::{program::Example, support::soon};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Asks for the status of a Minecraft server as a proxy does for a player.
async fn status(server: &Example) -> io::Result<()> {
    let mut client = server.connect().await;
    // The PROXY header, a handshake for `localhost:25565`, and a request for the status.
    let opening = b"PROXY TCP4 192.0.2.7 127.0.0.1 56324 25565\r\n\
        \x10\x00\xff\x05\x09localhost\x63\xdd\x01\x01\x00";
    client.write_all(opening).await?;
    let len = client.read_u8().await?;
    let mut answer = vec![0; len.into()];
    client.read_exact(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("hello, 192.0.2.7:56324"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn before_silent_clients_stall_the_minecraft_server() -> io::Result<()> {
    let server = start("minecraft", "before", &[]).await;
    status(&server).await?;
    let silent = silent_clients(&server).await;
    assert_stalled(silent, status(&server)).await;
    Ok(())
}

#[tokio::test]
async fn after_silent_clients_delay_nobody_in_the_minecraft_server() -> io::Result<()> {
    let server = start("minecraft", "after", &[]).await;
    let silent = silent_clients(&server).await;
    soon(status(&server)).await?;
    drop(silent);
    server.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn after_players_come_only_through_trusted_proxies() -> io::Result<()> {
    let server = start("minecraft", "after", &["--trust", "192.0.2.0/24"]).await;
    assert!(soon(status(&server)).await.is_err());
    server.stop("TERM").await;
    Ok(())
}
