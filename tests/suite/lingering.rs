//! The last response reaches a client that is still sending.

use crate::support::{connect, memory_server, rest, settled, soon, tcp_server};
use reagent::{
    BoxError, Connection, Linger, ServerHandle, Session, handle, linger, session, session::Context,
};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Responds to the first bytes and closes.
struct Short;

impl Session for Short {
    type Message = ();

    async fn on_data(&mut self, cx: &mut Context<'_, ()>, _: &[u8]) -> Result<(), BoxError> {
        cx.send("too large");
        cx.close();
        Ok(())
    }
}

/// Sends more than the server reads, and reads the response after the server has closed.
async fn answer(server: &ServerHandle) -> io::Result<Vec<u8>> {
    let mut client = connect(server).await;
    client.write_all(&[b'x'; 100 * 1024]).await.unwrap();
    let mut start = [0; 9];
    soon(client.read_exact(&mut start)).await?;
    // More data arrives after the server has finished.
    client.write_all(b"and more").await?;
    client.shutdown().await?;
    let mut all = start.to_vec();
    all.extend(rest(&mut client).await?);
    Ok(all)
}

#[tokio::test]
async fn the_last_answer_of_a_session_arrives_though_more_was_sent() {
    let (server, mut accepted) = tcp_server();
    let server = server
        .start(session(|| Short).read_buffer(64))
        .await
        .unwrap();
    assert_eq!(answer(&server).await.unwrap(), b"too large");
    assert_eq!(accepted.outcome().await.to_string(), "completed");
}

#[tokio::test]
async fn the_last_answer_of_a_handler_arrives_though_more_was_sent() {
    let (server, mut accepted) = tcp_server();
    let server = server
        .start(handle(|mut conn: Connection| async move {
            conn.read_u8().await?;
            conn.write_all(b"too large").await?;
            conn.close_lingering(Linger::new()).await;
            io::Result::Ok(())
        }))
        .await
        .unwrap();
    assert_eq!(answer(&server).await.unwrap(), b"too large");
    assert_eq!(accepted.outcome().await.to_string(), "completed");
}

/// Sends this many bytes per interval until the connection fails. Returns the duration and the
/// number of bytes sent.
async fn talk(every: Duration, bytes: usize) -> (Duration, usize) {
    let (server, clients, mut accepted) = memory_server();
    let server = server.start(session(|| Short)).await.unwrap();
    let mut client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    client.write_all(b"?").await.unwrap();
    let mut got = [0; 9];
    soon(client.read_exact(&mut got)).await.unwrap();
    // The server closes its writing half before the client has finished.
    assert_eq!(rest(&mut client).await.unwrap(), b"");
    let began = Instant::now();
    let mut sent = 0;
    let talking = async {
        while client.write_all(&vec![b'x'; bytes]).await.is_ok() {
            sent += bytes;
            tokio::time::sleep(every).await;
        }
    };
    tokio::select! {
        () = talking => {}
        _ = connection.closed() => {}
    }
    assert_eq!(connection.closed().await.to_string(), "completed");
    drop(server);
    (began.elapsed(), sent)
}

#[tokio::test(start_paused = true)]
async fn a_lingering_close_has_three_limits() {
    let (took, _) = talk(seconds(1000), 1).await;
    assert!(took >= seconds(2) && took < seconds(3), "silence: {took:?}");
    let (took, sent) = talk(seconds(1), 1).await;
    assert!(took >= seconds(5) && took < seconds(6), "total: {took:?}");
    assert!(sent < 10);
    let (took, sent) = talk(Duration::from_millis(1), 16 * 1024).await;
    assert!(took < seconds(1), "bytes: {took:?}");
    assert!((256 * 1024..512 * 1024).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_ends_the_lingering_at_once() {
    let (server, clients, mut accepted) = memory_server();
    let _server = server.start(session(|| Short)).await.unwrap();
    let mut client = clients.connect().await.unwrap();
    client.write_all(b"?").await.unwrap();
    let began = Instant::now();
    assert_eq!(rest(&mut client).await.unwrap(), b"too large");
    drop(client);
    accepted.outcome().await;
    assert!(began.elapsed() < seconds(1));
}

#[tokio::test(start_paused = true)]
async fn a_drain_cuts_the_lingering_short() {
    let (server, clients, mut accepted) = memory_server();
    let server = server
        .start(session(|| Short).linger(Linger::new().silence(seconds(60)).total(seconds(60))))
        .await
        .unwrap();
    // One connection is lingering already, the other is asked to finish.
    let mut lingering = clients.connect().await.unwrap();
    lingering.write_all(b"?").await.unwrap();
    assert_eq!(rest(&mut lingering).await.unwrap(), b"too large");
    let mut client = clients.connect().await.unwrap();
    accepted.next().await;
    accepted.next().await;
    settled().await;
    let report = server.drain(seconds(30)).await;
    assert_eq!((report.finished, report.aborted), (2, 0));
    assert!(report.elapsed <= seconds(1), "{:?}", report.elapsed);
    assert_eq!(rest(&mut client).await.unwrap(), b"");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_has_written_nothing_does_not_linger() {
    let (server, clients, mut accepted) = memory_server();
    let _server = server.start(session(|| Short)).await.unwrap();
    let _client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    let began = Instant::now();
    connection.drain();
    assert_eq!(soon(connection.closed()).await.to_string(), "drained");
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn any_stream_can_linger() {
    let (mut ours, mut theirs) = tokio::io::duplex(16);
    theirs.write_all(b"unread").await.unwrap();
    let began = Instant::now();
    linger(
        &mut ours,
        Linger::new().silence(seconds(7)).total(seconds(9)),
    )
    .await;
    assert_eq!(began.elapsed(), seconds(7));
    assert_eq!(rest(&mut theirs).await.unwrap(), b"");
    // No unread data is left.
    theirs.write_all(&[b'x'; 16]).await.unwrap();
}
