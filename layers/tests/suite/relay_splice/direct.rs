//! What goes through pipes, and what the layers around the client's socket make of it.

use crate::{
    relay::{in_time, pattern},
    spy::{Seen, Spy},
    support::until,
};
use reagent::{BoxError, Connection, Outcome, Server, ServerHandle, handle};
use reagent_layers::relay::relay;
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A proxy whose clients are spied on, by a wrapper that passes bytes through or by one that may
/// look at them.
async fn spied(passes_through: bool) -> (ServerHandle, TcpListener, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let spied = seen.clone();
    let (server, upstreams) = proxy(move |conn, upstream| {
        let wrap = |io| Spy::new(io, spied.clone());
        let conn = match passes_through {
            true => conn.map_io_passthrough(wrap),
            false => conn.map_io(wrap),
        };
        relay(conn, upstream)
    })
    .await;
    (server, upstreams, seen)
}

async fn proxy<F>(
    serve: impl Fn(Connection, TcpStream) -> F + Clone + Send + Sync + 'static,
) -> (ServerHandle, TcpListener)
where
    F: Future<Output = Result<reagent_layers::relay::Relayed, reagent_layers::relay::RelayError>>
        + Send
        + 'static,
{
    let upstreams = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = upstreams.local_addr().unwrap();
    let server = Server::bind("127.0.0.1:0")
        .start(handle(move |conn: Connection| {
            let serve = serve.clone();
            async move {
                serve(conn, TcpStream::connect(to).await?).await?;
                Ok::<_, BoxError>(())
            }
        }))
        .await
        .unwrap();
    (server, upstreams)
}

async fn pair(server: &ServerHandle, upstreams: &TcpListener) -> (TcpStream, TcpStream) {
    let addr: SocketAddr = server.local_addr().socket_addr().unwrap();
    let client = TcpStream::connect(addr).await.unwrap();
    let (upstream, _) = in_time(upstreams.accept()).await.unwrap();
    (client, upstream)
}

/// Sends `bytes` one way and back.
async fn there_and_back(client: TcpStream, upstream: TcpStream, bytes: &[u8]) {
    let (mut back, mut out) = client.into_split();
    let echo = async move {
        let (mut reader, mut writer) = upstream.into_split();
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let send = async move {
        out.write_all(bytes).await.unwrap();
        out.shutdown().await.unwrap();
    };
    let mut all = Vec::new();
    let ((), (), read) =
        in_time(async { tokio::join!(echo, send, back.read_to_end(&mut all)) }).await;
    read.unwrap();
    assert!(all == bytes, "every byte in its place");
}

#[tokio::test]
async fn what_goes_through_pipes_shows_in_the_rate() {
    let (server, upstreams, seen) = spied(true).await;
    server.track_activity();
    let (client, upstream) = pair(&server, &upstreams).await;
    let (mut reader, mut writer) = client.into_split();
    let (mut out, mut back) = upstream.into_split();
    let echo = tokio::io::copy(&mut out, &mut back);
    let sink = async { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await };
    let endless = async {
        loop {
            writer.write_all(&[1; 64 * 1024]).await.unwrap();
        }
    };
    let rate_shows = until(
        "more bytes move in a second than were ever in memory",
        || {
            let (all, in_memory) = seen.counts();
            let in_memory = in_memory as u64;
            let rate = server.connection(1).unwrap().rate().unwrap();
            all > 0 && rate.read > in_memory && rate.written > in_memory
        },
    );
    tokio::select! {
        () = rate_shows => {}
        _ = echo => unreachable!(),
        _ = sink => unreachable!(),
        () = endless => unreachable!(),
    }
}

/// Bytes of which none is zero.
fn bytes(len: usize) -> Vec<u8> {
    pattern(0, 0, len).iter().map(|byte| byte | 1).collect()
}

#[tokio::test]
async fn large_amounts_are_counted_but_not_seen_by_layers_that_pass_bytes_through() {
    const LEN: usize = 8 << 20;
    let (server, upstreams, seen) = spied(true).await;
    let (client, upstream) = pair(&server, &upstreams).await;
    there_and_back(client, upstream, &bytes(LEN)).await;
    let (all, in_memory) = seen.counts();
    assert_eq!(all, 2 * LEN);
    assert!(in_memory < LEN / 2, "{in_memory} bytes in memory");
}

#[tokio::test]
async fn a_layer_that_may_look_at_bytes_sees_them_all() {
    const LEN: usize = 8 << 20;
    let (server, upstreams, seen) = spied(false).await;
    let (client, upstream) = pair(&server, &upstreams).await;
    there_and_back(client, upstream, &bytes(LEN)).await;
    assert_eq!(seen.counts(), (2 * LEN, 2 * LEN));
}

#[tokio::test]
async fn small_messages_go_through_memory() {
    let (server, upstreams, seen) = spied(true).await;
    let (mut client, mut upstream) = pair(&server, &upstreams).await;
    let mut message = bytes(64);
    for _ in 0..100 {
        client.write_all(&message).await.unwrap();
        in_time(upstream.read_exact(&mut message)).await.unwrap();
        upstream.write_all(&message).await.unwrap();
        in_time(client.read_exact(&mut message)).await.unwrap();
    }
    assert_eq!(seen.counts(), (12_800, 12_800));
}

/// Pipes are borrowed, and the next direction to use one must not find bytes in it.
#[tokio::test]
async fn nothing_of_an_aborted_relay_reaches_another() {
    let (server, upstreams, _) = spied(true).await;
    for n in 0..20 {
        let (mut client, upstream) = pair(&server, &upstreams).await;
        let connection = server.connection(2 * n + 1).unwrap();
        // Nobody reads, so the pipe is full in the end.
        let stuck = client.write_all(&[0xee; 32 << 20]);
        let stuck = tokio::time::timeout(std::time::Duration::from_millis(30), stuck);
        assert!(stuck.await.is_err());
        connection.abort();
        in_time(connection.closed()).await;
        drop(upstream);
        let (client, upstream) = pair(&server, &upstreams).await;
        there_and_back(client, upstream, &bytes(1 << 20)).await;
    }
}

#[cfg(feature = "bandwidth")]
mod limits {
    use super::*;
    use crate::support::Ends;
    use reagent_layers::bandwidth::{BandwidthLayer, BandwidthLimits, Quota, Rate};
    use tokio::time::Instant;

    async fn limited(limits: BandwidthLimits) -> (ServerHandle, TcpListener, Ends) {
        let ends = Ends::default();
        let upstreams = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = upstreams.local_addr().unwrap();
        let server = Server::bind("127.0.0.1:0")
            .observe(ends.clone())
            .layer(BandwidthLayer::new(limits))
            .start(handle(move |conn: Connection| async move {
                relay(conn, TcpStream::connect(to).await?).await?;
                Ok::<_, BoxError>(())
            }))
            .await
            .unwrap();
        (server, upstreams, ends)
    }

    #[tokio::test]
    async fn a_quota_holds_to_the_byte() {
        const QUOTA: usize = 3_000_001;
        let quota = Quota::NONE.read(QUOTA as u64);
        let (server, upstreams, ends) = limited(BandwidthLimits::new().quota(quota)).await;
        let (mut client, mut upstream) = pair(&server, &upstreams).await;
        let connection = server.connection(1).unwrap();
        let sent = bytes(2 * QUOTA);
        let mut all = Vec::new();
        let receive = async { while let Ok(1..) = upstream.read_buf(&mut all).await {} };
        let send = async {
            let _ = client.write_all(&sent).await;
        };
        in_time(async { tokio::join!(send, receive) }).await;
        assert!(!matches!(ends.of(1).await, Outcome::Completed));
        assert!(sent[..QUOTA].starts_with(&all), "{} bytes", all.len());
        // One more byte shows that the quota is exceeded.
        assert_eq!(connection.bytes_read(), QUOTA as u64 + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_holds() {
        const LEN: usize = 4_000_000;
        let limits = BandwidthLimits::new().per_connection(Rate::new(1_000_000));
        let (server, upstreams, _) = limited(limits).await;
        let (client, upstream) = pair(&server, &upstreams).await;
        let began = Instant::now();
        there_and_back(client, upstream, &bytes(LEN)).await;
        // A tenth of a second is sent at once, in each direction.
        assert!(
            began.elapsed().as_millis() >= 3_800,
            "{:?}",
            began.elapsed()
        );
    }
}
