//! The kernel moves bytes between the socket of a connection and other files.

use crate::support::{beside, connect, soon, tcp_server};
use reagent::{BoxIo, Connection, IoStream, PrefixedIo, ServerHandle, handle, testing};
use rustix::pipe::{PipeFlags, pipe_with};
use std::{
    fs::File,
    future::poll_fn,
    io::{self, ErrorKind, Read, Write},
    os::fd::OwnedFd,
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufStream},
    net::TcpStream,
    sync::mpsc,
};

/// Returns a connection that is held by the test, and its client.
async fn held() -> (ServerHandle, Connection, TcpStream) {
    let (sender, mut given) = mpsc::unbounded_channel();
    let (server, _) = tcp_server();
    let server = server
        .start(handle(move |conn: Connection| {
            let _ = sender.send(conn);
            async { io::Result::Ok(()) }
        }))
        .await
        .unwrap();
    let client = connect(&server).await;
    let conn = soon(given.recv()).await.unwrap();
    (server, conn, client)
}

/// Returns the ends of a pipe: one to read from and one to write to.
fn pipe() -> (Arc<OwnedFd>, Arc<OwnedFd>) {
    let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).unwrap();
    (Arc::new(reader), Arc::new(writer))
}

fn file(pipe: &Arc<OwnedFd>) -> File {
    pipe.try_clone().unwrap().into()
}

/// Reads through the pipe, and returns the number of bytes in it and those in memory.
async fn read<Io: IoStream>(
    conn: &mut Connection<Io>,
    pipe: &Arc<OwnedFd>,
) -> io::Result<(usize, Vec<u8>)> {
    let mut rest = Vec::new();
    let moved = soon(poll_fn(|cx| {
        conn.poll_splice_read(cx, pipe, 1000, &mut rest)
    }))
    .await?;
    Ok((moved, rest))
}

#[tokio::test]
async fn a_connection_is_direct_unless_bytes_are_needed_in_memory() {
    let (_server, conn, _client) = held().await;
    assert!(conn.is_direct());
    let conn = conn.map_io_passthrough(|io| PrefixedIo::new(io, Vec::new()));
    assert!(conn.boxed().eof_on_drain().is_direct());

    let (_server, conn, _client) = held().await;
    assert!(!conn.map_io(BufStream::new).boxed().is_direct());

    let (_server, conn, _client) = held().await;
    let (io, parts) = conn.into_parts();
    assert!(!parts.with_io(io).is_direct(), "it may be any stream");

    let (_server, mut conn, _client) = held().await;
    conn.set_secure(None);
    assert!(!conn.is_direct());

    let (conn, _client) = testing::connection();
    assert!(!conn.is_direct(), "there is no socket");
}

#[tokio::test]
async fn bytes_in_memory_come_before_those_that_are_moved_from_the_socket() {
    let (_server, conn, mut client) = held().await;
    let mut conn = conn.map_io_passthrough(|io| PrefixedIo::new(io, b"ahead".to_vec()));
    let (reader, writer) = pipe();
    client.write_all(b"hello").await.unwrap();
    assert_eq!(
        read(&mut conn, &writer).await.unwrap(),
        (0, b"ahead".to_vec())
    );
    assert_eq!(read(&mut conn, &writer).await.unwrap(), (5, Vec::new()));
    let mut moved = [0; 9];
    assert_eq!(file(&reader).read(&mut moved).unwrap(), 5);
    assert_eq!(&moved[..5], b"hello");
    assert_eq!(conn.info().bytes_read, 5);
    client.shutdown().await.unwrap();
    assert_eq!(
        read(&mut conn, &writer).await.unwrap(),
        (0, Vec::new()),
        "the end"
    );
}

#[tokio::test]
async fn pipes_and_files_are_moved_into_the_socket() {
    let (_server, mut conn, mut client) = held().await;
    let (reader, writer) = pipe();
    file(&writer).write_all(b"from a pipe").unwrap();
    let moved = soon(poll_fn(|cx| conn.poll_splice_write(cx, &reader, 6))).await;
    assert_eq!(moved.unwrap(), 6);
    let path = std::env::current_exe().unwrap();
    let program = Arc::new(File::open(&path).unwrap());
    let moved = soon(poll_fn(|cx| conn.poll_send_file(cx, &program, 1, 3))).await;
    assert_eq!(moved.unwrap(), 3);
    let mut received = [0; 9];
    soon(client.read_exact(&mut received)).await.unwrap();
    assert_eq!(&received, b"from aELF");
    assert_eq!(conn.info().bytes_written, 9);
    let past = program.metadata().unwrap().len();
    let moved = soon(poll_fn(|cx| conn.poll_send_file(cx, &program, past, 3))).await;
    assert_eq!(moved.unwrap(), 0);
}

#[tokio::test]
async fn an_abort_ends_a_transfer_that_waits() {
    let (_server, mut conn, _client) = held().await;
    let connection = conn.handle();
    let waiting = beside(async move { read(&mut conn, &pipe().1).await });
    tokio::task::yield_now().await;
    connection.abort();
    let error = soon(waiting).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
}

/// Its promise was that it keeps no bytes.
#[tokio::test]
async fn a_wrapper_that_keeps_bytes_is_found_out() {
    let (_server, conn, _client) = held().await;
    let mut conn = conn.map_io_passthrough(|io: BoxIo| BufStream::new(io));
    let (reader, writer) = pipe();
    file(&writer).write_all(b"bytes").unwrap();
    let moved = soon(poll_fn(|cx| conn.poll_splice_write(cx, &reader, 5))).await;
    let error = moved.unwrap_err().to_string();
    assert!(error.contains("map_io_passthrough"), "{error}");
}
