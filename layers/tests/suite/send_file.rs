//! Files are sent whole or in part, by the kernel or through a buffer.

use crate::{
    spy::{Seen, Spy},
    support::LONG,
};
use reagent::{BoxError, Connection, Server, ServerHandle, handle, testing::MemoryListener};
use reagent_layers::send_file::SendFile;
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    ops::{Bound, RangeBounds},
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};

type Range = (Bound<u64>, Bound<u64>);

/// Creates a file of these bytes that has no name.
fn file(bytes: &[u8]) -> Arc<File> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Relaxed);
    let path = std::env::temp_dir().join(format!("send-file-{}-{count}", std::process::id()));
    let mut file = File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(path).unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    Arc::new(file)
}

fn pattern(len: usize) -> Vec<u8> {
    let period: Vec<u8> = (0..251).map(|n| n | 1).collect();
    let mut bytes = period.repeat(len / period.len() + 1);
    bytes.truncate(len);
    bytes
}

fn bounds(range: impl RangeBounds<u64>) -> Range {
    (range.start_bound().cloned(), range.end_bound().cloned())
}

/// How the connection carries bytes.
#[derive(Clone, Copy, Debug)]
enum Way {
    Kernel,
    Copy,
}

const WAYS: [Way; 2] = [Way::Kernel, Way::Copy];

/// A server that sends a range to each client, and reports the results.
async fn server(
    server: Server,
    way: Way,
    file: Arc<File>,
    range: Range,
) -> (ServerHandle, UnboundedReceiver<io::Result<u64>>, Arc<Seen>) {
    let (results, receiver) = unbounded_channel();
    let seen = Arc::new(Seen::default());
    let spied = seen.clone();
    let server = server
        .start(handle(move |conn: Connection| {
            let (file, results, seen) = (file.clone(), results.clone(), spied.clone());
            async move {
                let wrap = |io| Spy::new(io, seen);
                let mut conn = match way {
                    Way::Kernel => conn.map_io_passthrough(wrap),
                    Way::Copy => conn.map_io(wrap),
                };
                let result = conn.send_file(file, range).await;
                let ended = result.as_ref().map(|_| ()).map_err(io::Error::kind);
                results.send(result).unwrap();
                ended.map_err(io::Error::from)?;
                conn.shutdown().await?;
                Ok::<_, BoxError>(())
            }
        }))
        .await
        .unwrap();
    (server, receiver, seen)
}

async fn tcp(
    way: Way,
    file: &Arc<File>,
    range: Range,
) -> (
    TcpStream,
    UnboundedReceiver<io::Result<u64>>,
    ServerHandle,
    Arc<Seen>,
) {
    let (server, results, seen) =
        server(Server::bind("127.0.0.1:0"), way, file.clone(), range).await;
    let addr = server.local_addr().socket_addr().unwrap();
    let client = TcpStream::connect(addr).await.unwrap();
    (client, results, server, seen)
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut all = Vec::new();
    let read = timeout(LONG, stream.read_to_end(&mut all)).await;
    read.expect("done in time").unwrap();
    all
}

async fn result(results: &mut UnboundedReceiver<io::Result<u64>>) -> io::Result<u64> {
    timeout(LONG, results.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn ranges_are_sent_up_to_the_end_of_the_file() {
    const LEN: u64 = 1_000_000;
    let bytes = pattern(LEN as usize);
    let file = file(&bytes);
    let ranges = [
        (bounds(..), 0..LEN),
        (bounds(0..LEN), 0..LEN),
        (bounds(1..LEN - 1), 1..LEN - 1),
        (bounds(..=99), 0..100),
        (bounds(999_999..), 999_999..LEN),
        (bounds(500_000..500_001), 500_000..500_001),
        ((Bound::Excluded(4), Bound::Included(8)), 5..9),
        // Past the end.
        (bounds(999_990..LEN + 10), 999_990..LEN),
        (bounds(..u64::MAX), 0..LEN),
        (bounds(..=u64::MAX), 0..LEN),
        (bounds(LEN..), 0..0),
        (bounds(LEN + 1..LEN + 2), 0..0),
        (bounds(u64::MAX..), 0..0),
        // Nothing, and less.
        (bounds(7..7), 0..0),
        ((Bound::Included(8), Bound::Excluded(7)), 0..0),
    ];
    for way in WAYS {
        for (range, sent) in &ranges {
            let (mut client, mut results, server, seen) = tcp(way, &file, *range).await;
            let connection = server.connection(1);
            let received = read(&mut client).await;
            let expected = &bytes[sent.start as usize..sent.end as usize];
            assert!(
                received == expected,
                "{way:?}, {range:?}: {} bytes",
                received.len()
            );
            let len = sent.end - sent.start;
            assert_eq!(
                result(&mut results).await.unwrap(),
                len,
                "{way:?}, {range:?}"
            );
            if let Some(connection) = connection {
                assert_eq!(connection.bytes_written(), len);
            }
            let in_memory = match way {
                Way::Kernel if cfg!(target_os = "linux") => 0,
                _ => len as usize,
            };
            assert_eq!(seen.counts(), (len as usize, in_memory), "{way:?}");
        }
    }
}

#[tokio::test]
async fn the_position_of_the_file_stays() {
    let shared = file(b"0123456789");
    (&*shared).seek(SeekFrom::Start(4)).unwrap();
    for way in WAYS {
        let (mut client, _results, _server, _) = tcp(way, &shared, bounds(..)).await;
        assert_eq!(read(&mut client).await, b"0123456789");
        assert_eq!((&*shared).stream_position().unwrap(), 4);
    }
    let mut rest = String::new();
    (&*shared).read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "456789");
}

/// More than any buffer, with bytes to recognize around 2^27 and at the end.
#[tokio::test]
async fn a_file_of_256_mebibytes_arrives() {
    const LEN: u64 = 256 << 20;
    let large = file(b"");
    large.set_len(LEN).unwrap();
    for at in [0, (LEN / 2) - 3, LEN - 6] {
        large.write_all_at(b"marked", at).unwrap();
    }
    let (mut client, mut results, _server, _) = tcp(Way::Kernel, &large, bounds(..)).await;
    let (mut at, mut chunk, mut marked) = (0, vec![0; 1 << 20], 0);
    let zeros = vec![0; chunk.len()];
    loop {
        let n = timeout(LONG, client.read(&mut chunk))
            .await
            .unwrap()
            .unwrap();
        if n == 0 {
            break;
        }
        if chunk[..n] != zeros[..n] {
            marked += chunk[..n].iter().filter(|byte| **byte != 0).count();
        }
        at += n as u64;
    }
    assert_eq!((at, marked), (LEN, 18));
    assert_eq!(result(&mut results).await.unwrap(), LEN);
}

#[tokio::test]
async fn a_client_that_goes_away_is_an_error() {
    let bytes = file(&pattern(64 << 20));
    for way in WAYS {
        let (mut client, mut results, _server, _) = tcp(way, &bytes, bounds(..)).await;
        client.read_u8().await.unwrap();
        drop(client);
        let error = result(&mut results).await.unwrap_err();
        let kinds = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
        assert!(kinds.contains(&error.kind()), "{way:?}: {error:?}");
    }
}

/// A length that was announced must not be trusted to have been sent.
#[tokio::test]
async fn a_file_that_shrinks_is_sent_as_far_as_it_goes() {
    const LEN: usize = 64 << 20;
    let bytes = pattern(LEN);
    for way in WAYS {
        let shrinking = file(&bytes);
        let (mut client, mut results, _server, _) = tcp(way, &shrinking, bounds(..)).await;
        // The system takes some megabytes for a client that does not read.
        client.read_u8().await.unwrap();
        shrinking.set_len(LEN as u64 - 1_000).unwrap();
        let received = read(&mut client).await;
        let sent = result(&mut results).await.unwrap();
        assert_eq!(sent, LEN as u64 - 1_000, "{way:?}");
        assert_eq!(received.len() as u64 + 1, sent);
        assert!(received == bytes[1..=received.len()], "{way:?}");
    }
}

#[tokio::test]
async fn unix_sockets_and_streams_without_a_socket_get_files_too() {
    let bytes = pattern(3_000_000);
    let file = file(&bytes);
    let path = std::env::temp_dir().join(format!("send-file-{}", std::process::id()));
    let (_server, mut results, _) = server(
        Server::bind(path.as_path()),
        Way::Kernel,
        file.clone(),
        bounds(..),
    )
    .await;
    let mut client = UnixStream::connect(&path).await.unwrap();
    assert!(read(&mut client).await == bytes);
    assert_eq!(result(&mut results).await.unwrap(), 3_000_000);

    let (listener, clients) = MemoryListener::new();
    let (_server, mut results, seen) =
        server(Server::new(listener), Way::Kernel, file, bounds(1..)).await;
    let mut client = clients.connect().await.unwrap();
    assert!(read(&mut client).await == bytes[1..]);
    assert_eq!(result(&mut results).await.unwrap(), 2_999_999);
    assert_eq!(seen.counts(), (2_999_999, 2_999_999));
}

/// Its length is 0 until it is read, and it cannot be mapped.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_of_the_kernel_is_copied() {
    let cpus = std::fs::read("/proc/self/auxv").unwrap();
    let file = Arc::new(File::open("/proc/self/auxv").unwrap());
    let (mut client, _results, _server, _) = tcp(Way::Kernel, &file, bounds(0..1_000_000)).await;
    assert_eq!(read(&mut client).await, cpus);
}

#[cfg(feature = "bandwidth")]
#[tokio::test(start_paused = true)]
async fn a_rate_holds_for_a_file() {
    use reagent_layers::bandwidth::{BandwidthLayer, BandwidthLimits, Rate};
    let bytes = pattern(3_000_000);
    let file = file(&bytes);
    let server = Server::bind("127.0.0.1:0")
        .layer(BandwidthLayer::new(
            BandwidthLimits::new().per_connection(Rate::new(1_000_000)),
        ))
        .start(handle(move |mut conn: Connection| {
            let file = file.clone();
            async move { conn.send_file(file, ..).await.map(drop) }
        }))
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let mut client = TcpStream::connect(addr).await.unwrap();
    let began = tokio::time::Instant::now();
    assert!(read(&mut client).await == bytes);
    assert!(
        began.elapsed().as_millis() >= 2_800,
        "{:?}",
        began.elapsed()
    );
}
