//! `EofOnDrain` reports end of file when the server drains, for libraries that own the stream.

use crate::support::{LONG, beside, connect, memory_server, rest, settle, soon, tcp_server};
use reagent::{
    Connection, EofOnDrain, Linger, Outcome, Server, handle,
    testing::{self, MemoryListener},
};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf,
    SimplexStream,
};

/// A library that takes the bare stream. It responds at the end of its input.
async fn library(mut io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut all = Vec::new();
    io.read_to_end(&mut all).await?;
    // Anything after the end is not read.
    assert_eq!(io.read(&mut [0; 8]).await?, 0);
    io.write_all(format!("{} bytes", all.len()).as_bytes())
        .await
}

async fn own_the_stream(conn: Connection) -> io::Result<()> {
    let (io, _) = conn.eof_on_drain().into_parts();
    library(io).await
}

#[tokio::test(start_paused = true)]
async fn a_read_that_waits_ends_at_the_drain_and_an_answer_can_be_written() {
    let (server, clients, mut accepted) = memory_server();
    let server = server.start(handle(own_the_stream)).await.unwrap();
    let mut client = clients.connect().await.unwrap();
    client.write_all(b"hello").await.unwrap();
    settle().await;
    let connection = accepted.next().await;
    assert_eq!(connection.bytes_read(), 5);
    let report = server.drain(LONG).await;
    assert_eq!((report.finished, report.aborted), (1, 0));
    assert_eq!(rest(&mut client).await.unwrap(), b"5 bytes");
    assert!(matches!(connection.outcome(), Some(Outcome::Drained)));
}

#[tokio::test(start_paused = true)]
async fn a_lingering_close_still_reads_what_the_client_sends() {
    async fn linger(conn: Connection) -> io::Result<()> {
        let mut conn = conn.eof_on_drain();
        conn.read_to_end(&mut Vec::new()).await?;
        conn.write_all(b"bye").await?;
        conn.close_lingering(Linger::default()).await;
        Ok(())
    }
    let (server, clients, mut accepted) = memory_server();
    let server = server.start(handle(linger)).await.unwrap();
    let mut client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    let draining = beside(async move { server.drain(LONG).await });
    settle().await;
    assert_eq!(rest(&mut client).await.unwrap(), b"bye");
    client.write_all(b"still here").await.unwrap();
    settle().await;
    assert_eq!(connection.bytes_read(), 10);
    drop(client);
    assert_eq!(soon(draining).await.unwrap().finished, 1);
}

#[tokio::test]
async fn a_read_of_a_socket_ends_at_the_drain() {
    let (server, mut accepted) = tcp_server();
    let server = server.start(handle(own_the_stream)).await.unwrap();
    let mut client = connect(&server).await;
    client.write_all(b"hello").await.unwrap();
    let connection = accepted.next().await;
    while connection.bytes_read() < 5 {
        tokio::task::yield_now().await;
    }
    let report = soon(server.drain(LONG)).await;
    assert_eq!((report.finished, report.aborted), (1, 0));
    assert_eq!(rest(&mut client).await.unwrap(), b"5 bytes");
}

#[tokio::test]
async fn what_has_arrived_by_the_drain_is_read() {
    let (conn, mut client) = testing::connection();
    client.write_all(b"one ").await.unwrap();
    let mut conn = conn.eof_on_drain();
    let mut word = [0; 4];
    conn.read_exact(&mut word).await.unwrap();
    client.write_all(b"two ").await.unwrap();
    conn.handle().drain();
    let mut left = String::new();
    soon(conn.read_to_string(&mut left)).await.unwrap();
    assert_eq!(left, "two ");
    // The stream has ended, even if more arrives.
    client.write_all(b"three").await.unwrap();
    assert_eq!(conn.read(&mut word).await.unwrap(), 0);
    assert_eq!(conn.io_mut().get_mut().read(&mut word).await.unwrap(), 4);
}

#[tokio::test]
async fn a_client_that_sends_without_a_pause_does_not_hold_up_the_drain() {
    let (conn, _client) = testing::connection();
    let handle = conn.handle();
    let mut endless = EofOnDrain::new(tokio::io::repeat(7), &handle);
    let mut buf = [0; 1000];
    for _ in 0..1000 {
        assert_eq!(endless.read(&mut buf).await.unwrap(), buf.len());
    }
    handle.drain();
    // On the way, reads use up the budget of the task. That must not count as the end.
    let mut read = 0;
    while read < 1 << 20 {
        match endless.read(&mut buf).await.unwrap() {
            0 => break,
            n => read += n,
        }
    }
    let most = 64 * 1024 + buf.len();
    assert!((64 * 1024..most).contains(&read), "{read} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_opens_during_the_drain_ends_at_its_first_wait() {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .acceptors(0)
        .start(handle(own_the_stream))
        .await
        .unwrap();
    // Both are in the queue when the drain starts, and are still served.
    let mut silent = clients.connect().await.unwrap();
    let mut prompt = clients.connect().await.unwrap();
    prompt.write_all(b"hello").await.unwrap();
    server.set_acceptors(1);
    let report = server.drain(LONG).await;
    assert_eq!((report.finished, report.aborted), (2, 0));
    assert_eq!(rest(&mut silent).await.unwrap(), b"0 bytes");
    assert_eq!(rest(&mut prompt).await.unwrap(), b"5 bytes");
}

#[tokio::test(start_paused = true)]
async fn it_works_around_a_stream_that_became_of_the_connection() {
    let (conn, client) = testing::connection();
    let handle = conn.handle();
    let upgraded = EofOnDrain::new(BufReader::new(conn.into_parts().0), &handle);
    let mut lines = upgraded.lines();
    let reading = beside(async move {
        let mut read = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            read.push(line);
        }
        read
    });
    let mut client = client;
    client.write_all(b"one\ntwo\nthr").await.unwrap();
    settle().await;
    assert!(!reading.is_finished());
    handle.drain();
    assert_eq!(soon(reading).await.unwrap(), ["one", "two", "thr"]);
}

#[tokio::test]
async fn an_end_of_the_client_is_an_end_without_a_drain() {
    let (conn, mut client) = testing::connection();
    client.write_all(b"all").await.unwrap();
    drop(client);
    assert_eq!(rest(&mut conn.eof_on_drain()).await.unwrap(), b"all");
}

/// A stream that accepts only vectored writes.
struct Vectored(SimplexStream, usize);

impl AsyncRead for Vectored {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Vectored {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        unreachable!("it takes vectored writes alone")
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.1 += bufs.len();
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_vectored_write_stays_one_also_in_the_drain() {
    let (conn, _client) = testing::connection();
    let handle = conn.handle();
    handle.drain();
    let mut io = EofOnDrain::new(Vectored(SimplexStream::new_unsplit(64), 0), &handle);
    assert!(io.is_write_vectored());
    let bufs = [IoSlice::new(b"two "), IoSlice::new(b"pieces")];
    assert_eq!(io.write_vectored(&bufs).await.unwrap(), 10);
    assert_eq!(io.get_ref().1, 2);
    assert_eq!(rest(&mut io).await.unwrap(), b"two pieces");
}
