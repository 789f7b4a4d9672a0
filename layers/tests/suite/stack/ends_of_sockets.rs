//! Clients that reset their sockets at every stage of a stack of all layers leave nothing behind.

use super::{
    Parts, client, header,
    kinds::{all, bottom},
};
use crate::{
    metrics::Page,
    support::{LONG, echo, echoes, until},
};
use reagent::{Limit, Server, handle};
use reagent_layers::proxy_protocol::ProxyProtocolLayer;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

const CLIENTS: usize = 900;
const AT_ONCE: usize = 100;
const PLACES: usize = 50;

/// The stages at which clients reset.
const STAGES: usize = 6;

async fn goes(parts: &Parts, addr: SocketAddr, stage: usize) {
    let mut io = TcpStream::connect(addr).await.unwrap();
    // Set at the start, so that it applies wherever the socket is dropped.
    socket2::SockRef::from(&io)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    let header = header(client());
    match stage {
        0 => {}
        1 => io.write_all(&header[..5]).await.unwrap(),
        2 => io.write_all(&header).await.unwrap(),
        3 => {
            io.write_all(&[header, parts.hello()].concat())
                .await
                .unwrap();
            io.read_u8().await.unwrap();
        }
        _ => {
            io.write_all(&header).await.unwrap();
            let mut io = parts.handshake(io).await.unwrap();
            if stage == 5 {
                assert!(echoes(&mut io, "hello").await);
                // In transit when the connection is reset.
                let _ = io.write_all(&[0; 4096]).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_clients_that_reset_at_every_stage() {
    let (page, metrics) = Page::new();
    let mut parts = Parts::new();
    parts.proxy_protocol = ProxyProtocolLayer::new(["127.0.0.0/8".parse().unwrap()]);
    let places = Limit::new(PLACES);
    let server = Server::bind("127.0.0.1:0")
        .limit(places.clone())
        .acceptors(2)
        .observe(metrics)
        .start(parts.stack(&all(), bottom(handle(echo))))
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let mut clients = JoinSet::new();
    for first in 0..AT_ONCE {
        let parts = parts.clone();
        clients.spawn(async move {
            for number in (first..CLIENTS).step_by(AT_ONCE) {
                goes(&parts, addr, number % STAGES).await;
            }
        });
    }
    timeout(LONG, clients.join_all()).await.unwrap();
    until("all have ended", || {
        let stats = server.stats();
        stats.accepted == CLIENTS as u64 && stats.open == 0
    })
    .await;

    let stats = server.stats();
    // To the server, a client in the queue and one after five bytes may look the same.
    let ends = (
        stats.rejected + stats.failed + stats.disconnected,
        stats.timed_out,
        stats.aborted,
    );
    assert_eq!(ends, (CLIENTS as u64, 0, 0), "{stats:?}");
    assert_eq!(page.value("reagent_connections_active", None), 0.0);
    let limits = [&places, &parts.in_flight];
    assert_eq!(limits.map(Limit::taken), [0; 2]);
    assert_eq!(parts.per_client.clients(), 0);

    // Every connection permit and every handshake permit is free again.
    let mut open = Vec::new();
    for _ in 0..PLACES {
        let mut io = TcpStream::connect(addr).await.unwrap();
        io.write_all(&header(client())).await.unwrap();
        let mut io = parts.handshake(io).await.unwrap();
        assert!(echoes(&mut io, "hello").await);
        open.push(io);
    }
    assert_eq!(places.taken(), PLACES);
    drop(open);
    let report = server.drain(LONG).await;
    assert_eq!((report.aborted, report.remaining), (0, 0));
}
