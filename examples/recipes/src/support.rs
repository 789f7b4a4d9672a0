//! What the tests share.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use reagent::ServerHandle;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Far more than any client here needs.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn addr(server: &ServerHandle) -> SocketAddr {
    server.local_addr().socket_addr().unwrap()
}

/// Connects a socket, and waits until the server has it. Returns its own address too.
pub(crate) async fn connect(server: &ServerHandle) -> (TcpStream, SocketAddr) {
    let before = server.connection_count();
    let stream = TcpStream::connect(addr(server)).await.unwrap();
    let own = stream.local_addr().unwrap();
    while server.connection_count() == before {
        tokio::task::yield_now().await;
    }
    (stream, own)
}

/// Drains the server: every connection finishes before the deadline.
pub(crate) async fn drain(server: &ServerHandle) {
    let open = server.connection_count();
    let report = server.drain(DEADLINE).await;
    assert_eq!((report.finished, report.aborted), (open, 0));
}

/// Drains the server once it has read what its one client is about to send.
pub(crate) async fn drain_in_flight(server: &ServerHandle) {
    let bytes_read = || server.connections()[0].bytes_read;
    let before = bytes_read();
    while bytes_read() == before {
        tokio::task::yield_now().await;
    }
    drain(server).await;
}

/// Relays one connection to the server, for a client that opens its socket itself. Returns the
/// address of the relay, and the one that the server sees.
pub(crate) async fn relay(server: &ServerHandle) -> (SocketAddr, SocketAddr) {
    let (mut there, own) = connect(server).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut here, _) = listener.accept().await?;
        copy_bidirectional(&mut here, &mut there).await
    });
    (relay, own)
}

/// An HTTP/1 client with one connection, which it keeps alive.
pub(crate) struct HttpClient {
    requests: SendRequest<Empty<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl HttpClient {
    pub(crate) async fn connect(server: &ServerHandle) -> (Self, SocketAddr) {
        let (stream, own) = connect(server).await;
        let (requests, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let client = HttpClient {
            requests,
            connection,
        };
        (client, own)
    }

    pub(crate) async fn get(&mut self, path: &str) -> String {
        let request = hyper::Request::get(path)
            .header("host", "localhost")
            .body(Empty::new())
            .unwrap();
        let response = self.requests.send_request(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// Resolves when the server has closed the idle connection.
    pub(crate) async fn closed(self) {
        self.connection.await.unwrap().unwrap();
    }
}
