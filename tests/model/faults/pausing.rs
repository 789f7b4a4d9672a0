//! No client is accepted after a pause has taken effect.

use crate::support::{SOON, beside, connect, echo, soon, until};
use reagent::{Server, ServerHandle, handle};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Starts a server that is kept busy by clients that connect, are served and leave.
///
/// Each waits for the end of its connection before it connects again. Otherwise the clients of a
/// paused server would fill the queue of the listener, and later ones would wait until the pause
/// ends.
async fn busy() -> ServerHandle {
    let server = Server::bind("127.0.0.1:0").acceptors(2);
    let server = server.start(handle(echo)).await.unwrap();
    for _ in 0..4 {
        let server = server.clone();
        drop(beside(async move {
            while server.stats().status != reagent::ServerStatus::Stopped {
                let addr = server.local_addr().socket_addr().unwrap();
                if let Ok(mut client) = TcpStream::connect(addr).await {
                    let _ = client.shutdown().await;
                    let _ = client.read(&mut [0]).await;
                }
            }
        }));
    }
    server
}

async fn nobody_is_accepted(server: &ServerHandle) {
    let before = server.stats().accepted;
    // A client that would be accepted if the server were accepting.
    let _client = connect(server.local_addr()).await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    let after = server.stats().accepted;
    assert_eq!(after - before, 0, "accepted by a server that has settled");
}

async fn somebody_is_accepted(server: &ServerHandle) {
    let before = server.stats().accepted;
    until("somebody is accepted", || server.stats().accepted > before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_settled_after_a_pause_accepts_nobody() {
    let server = busy().await;
    for _ in 0..200 {
        somebody_is_accepted(&server).await;
        server.pause();
        soon(server.settled()).await;
        nobody_is_accepted(&server).await;
        server.resume();
    }
    server.drain(SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_settled_after_its_limit_was_lowered_accepts_nobody() {
    let server = busy().await;
    for _ in 0..200 {
        somebody_is_accepted(&server).await;
        server.set_max_connections(0);
        soon(server.settled()).await;
        nobody_is_accepted(&server).await;
        server.set_max_connections(100);
    }
    server.drain(SOON).await;
}
