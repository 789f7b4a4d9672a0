//! A relay between a client that is far away and a server that is near: the windows are large, and
//! packets are lost. `link.py` makes the path, in network namespaces of its own.

use crate::{relay::pattern, skipped::skipped, support::LONG};
use reagent::{BoxError, Connection, Server, handle};
use reagent_layers::relay::relay;
use std::{
    fs::File,
    future::Future,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    os::fd::AsFd,
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::oneshot,
    time::timeout,
};

const PROXY: &str = "10.77.1.2:0";
const SERVER: &str = "10.77.2.2:0";
const CHUNK: usize = 64 * 1024;

/// The path, which exists for as long as its program.
struct Path {
    program: Child,
    /// The program ends with it.
    _input: ChildStdin,
    client: u32,
    proxy: u32,
    server: u32,
}

impl Path {
    /// Makes a path, or prints a message and returns `None` if that is not possible here.
    fn new(delay: Duration, loss: f64) -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/relay_far/link.py");
        let spawned = Command::new("python3")
            .arg(script)
            .args([delay.as_secs_f64().to_string(), loss.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut program) = spawned else {
            skipped("a far client: python3 is not installed");
            return None;
        };
        let mut line = String::new();
        let stdout = program.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let pids: Vec<_> = line.split_whitespace().map(str::parse).collect();
        let [Ok(client), Ok(proxy), Ok(server)] = pids[..] else {
            program.wait().unwrap();
            skipped(
                "a far client: it takes root, namespaces, TUN devices, iproute2 and util-linux",
            );
            return None;
        };
        Some(Path {
            _input: program.stdin.take().unwrap(),
            program,
            client,
            proxy,
            server,
        })
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Runs a future on a thread in the network namespace of this process.
fn within<F, T>(pid: u32, future: impl FnOnce() -> F + Send + 'static) -> thread::JoinHandle<T>
where
    F: Future<Output = T>,
    T: Send + 'static,
{
    thread::spawn(move || {
        let namespace = File::open(format!("/proc/{pid}/ns/net")).unwrap();
        rustix::thread::move_into_link_name_space(namespace.as_fd(), None).unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(future())
    })
}

/// Waits for a step, which takes a while only if the path has stalled.
async fn moves<T>(step: impl Future<Output = io::Result<T>>) -> T {
    timeout(LONG, step).await.expect("no stall").unwrap()
}

/// Sends bytes that depend on their position.
async fn send(to: &mut (impl AsyncWriteExt + Unpin), seed: u8, len: usize) {
    for at in (0..len).step_by(CHUNK) {
        let chunk = pattern(seed, at, CHUNK);
        moves(to.write_all(&chunk)).await;
    }
}

/// Receives bytes that were sent by [`send`].
async fn receive(from: &mut (impl AsyncReadExt + Unpin), seed: u8, len: usize) {
    let mut chunk = vec![0; CHUNK];
    for at in (0..len).step_by(CHUNK) {
        moves(from.read_exact(&mut chunk)).await;
        assert!(chunk == pattern(seed, at, CHUNK), "from byte {at}");
    }
}

/// Sends and receives `len` bytes at the same time; then the client ends its direction, and the
/// server answers with as many bytes and ends its own. Returns the time that it took.
async fn exchange(client: TcpStream, len: usize) -> Duration {
    let began = Instant::now();
    let (mut reader, mut writer) = client.into_split();
    let sending = async {
        send(&mut writer, 1, len).await;
        writer.shutdown().await.unwrap();
    };
    let receiving = async {
        receive(&mut reader, 2, len).await;
        receive(&mut reader, 3, len).await;
        assert_eq!(moves(reader.read(&mut [0])).await, 0);
    };
    tokio::join!(sending, receiving);
    began.elapsed()
}

async fn answer(client: TcpStream, len: usize) {
    let (mut reader, mut writer) = client.into_split();
    let receiving = async {
        receive(&mut reader, 1, len).await;
        assert_eq!(moves(reader.read(&mut [0])).await, 0);
    };
    tokio::join!(receiving, send(&mut writer, 2, len));
    send(&mut writer, 3, len).await;
    writer.shutdown().await.unwrap();
}

/// Exchanges `len` bytes through a relay and without one, and returns both times; or `None` if no
/// path can be made here.
fn through_and_past_a_relay(delay: Duration, loss: f64, len: usize) -> Option<[Duration; 2]> {
    let path = Path::new(delay, loss)?;
    let (sender, server_addr) = oneshot::channel();
    let server = within(path.server, move || async move {
        let listener = TcpListener::bind(SERVER).await.unwrap();
        sender.send(listener.local_addr().unwrap()).unwrap();
        for _ in 0..2 {
            let (client, _) = moves(listener.accept()).await;
            answer(client, len).await;
        }
    });
    let to: SocketAddr = server_addr.blocking_recv().unwrap();
    let (sender, proxy_addr) = oneshot::channel();
    let (done, is_done) = oneshot::channel::<()>();
    let proxy = within(path.proxy, move || async move {
        let serve = handle(move |conn: Connection| async move {
            relay(conn, TcpStream::connect(to).await?).await?;
            Ok::<_, BoxError>(())
        });
        let server = Server::bind(PROXY).start(serve).await.unwrap();
        sender
            .send(server.local_addr().socket_addr().unwrap())
            .unwrap();
        let _ = is_done.await;
        server.drain(LONG).await;
        server.stats()
    });
    let addrs = [proxy_addr.blocking_recv().unwrap(), to];
    let client = within(path.client, move || async move {
        let mut times = [Duration::ZERO; 2];
        for (addr, time) in addrs.into_iter().zip(&mut times) {
            *time = exchange(moves(TcpStream::connect(addr)).await, len).await;
        }
        times
    });
    let times = client.join().unwrap();
    server.join().unwrap();
    done.send(()).unwrap();
    let stats = proxy.join().unwrap();
    let len = len as u64;
    assert_eq!(stats.completed, 1, "{stats:?}");
    assert_eq!((stats.bytes_read, stats.bytes_written), (len, 2 * len));
    Some(times)
}

#[test]
fn a_far_client_loses_no_byte_and_never_stalls() {
    let _ = through_and_past_a_relay(Duration::from_millis(10), 0.0005, 8 << 20);
}

/// Run it in a release build, with `--ignored --nocapture`.
#[test]
#[ignore = "prints times, which say something only on an idle machine"]
fn a_relay_fills_the_pipe_of_a_far_client() {
    for (delay, loss) in [(10, 0.0), (10, 0.0001), (50, 0.0), (50, 0.0001)] {
        let delay = Duration::from_millis(delay);
        let Some([through, past]) = through_and_past_a_relay(delay, loss, 512 << 20) else {
            return;
        };
        let ratio = through.as_secs_f64() / past.as_secs_f64();
        println!(
            "{delay:?} each way, {loss} lost: relay {through:.2?}, direct {past:.2?}, ratio {ratio:.2}"
        );
    }
}
