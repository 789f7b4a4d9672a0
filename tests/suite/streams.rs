//! The stream of a connection: read by lines, and taken out with its original type.

use crate::support::{Dir, connect, memory_server, rest, soon, tcp_server, unix};
use reagent::{BoxIo, Connection, Outcome, Server, handle, testing};
use std::io;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream},
    net::{TcpStream, UnixStream},
};

/// Answers each line, with no buffer but that of the connection.
async fn count_lines(conn: Connection) -> io::Result<()> {
    let mut conn = conn.map_io(BufReader::new);
    let mut line = String::new();
    while conn.read_line(&mut line).await? > 0 {
        let answer = format!("{}\n", line.trim_end().len());
        conn.write_all(answer.as_bytes()).await?;
        line.clear();
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_over_a_buffered_stream_is_read_by_lines_and_counts_its_bytes() {
    let (server, clients, mut accepted) = memory_server();
    let server = server.start(handle(count_lines)).await.unwrap();
    let mut client = clients.connect().await.unwrap();
    client.write_all(b"one\nthree\n").await.unwrap();
    let connection = accepted.next().await;
    let mut answer = [0; 4];
    soon(client.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"3\n5\n");
    assert_eq!(
        (connection.bytes_read(), connection.bytes_written()),
        (10, 4)
    );
    client.write_all(b"x").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await.unwrap(), b"1\n");
    assert!(matches!(
        soon(connection.closed()).await,
        Outcome::Completed
    ));
    assert_eq!(connection.bytes_read(), 11);
    drop(server);
}

/// A library that accepts only Tokio's own socket type.
async fn library(mut socket: TcpStream) -> io::Result<()> {
    assert!(socket.peer_addr()?.ip().is_loopback());
    let byte = socket.read_u8().await?;
    socket.write_u8(byte + 1).await
}

#[tokio::test]
async fn a_handler_can_take_the_socket_out_and_its_connection_lives_on() {
    let (server, mut accepted) = tcp_server();
    let server = server
        .max_connections(1)
        .start(handle(|conn: Connection| async move {
            let (io, _) = conn.into_parts();
            library(io.downcast().expect("a TCP stream")).await
        }))
        .await
        .unwrap();
    let mut client = connect(&server).await;
    let connection = accepted.next().await;
    let mut next = connect(&server).await;
    next.write_u8(7).await.unwrap();
    client.write_u8(1).await.unwrap();
    // The permit is held until the handler is done, and no longer.
    assert_eq!(server.connection_count(), 1);
    assert_eq!(soon(client.read_u8()).await.unwrap(), 2);
    assert!(matches!(
        soon(connection.closed()).await,
        Outcome::Completed
    ));
    assert_eq!(soon(next.read_u8()).await.unwrap(), 8);
}

#[tokio::test]
async fn a_socket_of_another_type_comes_back_and_works_on() {
    let dir = Dir::new();
    let path = dir.path("socket");
    let server = Server::bind(unix(&path))
        .start(handle(|conn: Connection| async move {
            let (io, parts) = conn.into_parts();
            let io = io.downcast::<TcpStream>().expect_err("a Unix socket");
            let io = io.downcast::<DuplexStream>().expect_err("a Unix socket");
            let mut conn = parts.with_io(io);
            let byte = conn.read_u8().await?;
            let mut socket = conn.into_parts().0.downcast::<UnixStream>().expect("one");
            socket.write_u8(byte).await
        }))
        .await
        .unwrap();
    let mut client = UnixStream::connect(&path).await.unwrap();
    client.write_u8(5).await.unwrap();
    assert_eq!(soon(client.read_u8()).await.unwrap(), 5);
    drop(server);
}

#[tokio::test]
async fn a_stream_in_a_box_is_found_by_its_type() {
    let (conn, mut client) = testing::connection();
    client.write_all(b"hello").await.unwrap();
    // The stream of a custom listener.
    let io = conn.into_parts().0.downcast::<TcpStream>().unwrap_err();
    let io: DuplexStream = io.downcast().unwrap();
    // A stream wrapped by a layer.
    let io = BoxIo::new(BufReader::new(io));
    let io = io.downcast::<DuplexStream>().unwrap_err();
    let io = io.downcast::<BoxIo>().unwrap();
    let mut io: BufReader<DuplexStream> = io.downcast().unwrap();
    let mut word = [0; 5];
    io.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"hello");
}
