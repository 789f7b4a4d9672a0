//! The load on a proxy, and its cost to the proxy.

use crate::tls::{Client, Stream};
use std::{
    fs, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
    task::JoinSet,
    time::sleep,
};

/// The number of concurrent clients, except for [`Mode::Idle`].
const CLIENTS: usize = 64;
const IDLE: usize = 4000;

/// The time limit for all clients to start.
const CONNECTING: Duration = Duration::from_secs(10);

/// The behaviour of clients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    /// Connect, exchange 64 bytes, reset.
    Connections,
    /// Exchange 64 bytes, repeatedly.
    RoundTrips,
    /// Send 64 KiB at a time, and read the echo meanwhile.
    Bytes,
    /// Exchange one byte, and stay connected.
    Idle,
}

impl Mode {
    pub(crate) fn rate(self) -> &'static str {
        match self {
            Mode::Connections => "connections/s",
            Mode::RoundTrips => "round trips/s",
            Mode::Bytes => "bytes/s",
            Mode::Idle => "connections",
        }
    }

    pub(crate) fn cost(self) -> &'static str {
        match self {
            Mode::Connections => "CPU us each",
            Mode::RoundTrips => "CPU us each",
            Mode::Bytes => "CPU us/MiB",
            Mode::Idle => "bytes each",
        }
    }
}

/// The kind of handshake.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Tls {
    None,
    V12 { resumes: bool },
    V13 { resumes: bool },
}

pub(crate) const LOADS: [(&str, Mode, Tls); 11] = [
    ("connect", Mode::Connections, Tls::None),
    ("echo", Mode::RoundTrips, Tls::None),
    ("bulk", Mode::Bytes, Tls::None),
    ("idle", Mode::Idle, Tls::None),
    ("tls12-full", Mode::Connections, Tls::V12 { resumes: false }),
    (
        "tls12-resumed",
        Mode::Connections,
        Tls::V12 { resumes: true },
    ),
    ("tls13-full", Mode::Connections, Tls::V13 { resumes: false }),
    (
        "tls13-resumed",
        Mode::Connections,
        Tls::V13 { resumes: true },
    ),
    ("tls-echo", Mode::RoundTrips, Tls::V13 { resumes: false }),
    ("tls-bulk", Mode::Bytes, Tls::V13 { resumes: false }),
    ("tls-idle", Mode::Idle, Tls::V13 { resumes: false }),
];

/// Operations per second, and the cost of each to the proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) rate: f64,
    pub(crate) cost: f64,
}

impl Figures {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (rate, cost) = text.trim().split_once(' ')?;
        Some(Figures {
            rate: rate.parse().ok()?,
            cost: cost.parse().ok()?,
        })
    }
}

pub(crate) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(4096)
}

/// Linux reports hundredths of a second here, whatever its internal clock is.
const TICK: u64 = 10_000_000;

/// The CPU time of a process in nanoseconds, summed over its threads. With TLS, threads that have
/// ended are included, at a resolution of one tick, because stunnel has a thread per connection.
fn cpu(pid: &str, tls: Tls) -> io::Result<u64> {
    if tls != Tls::None {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let times = stat.rsplit(')').next().unwrap_or_default();
        let times = times.split_whitespace().skip(11).take(2);
        let ticks: u64 = times.filter_map(|time| time.parse::<u64>().ok()).sum();
        return Ok(ticks * TICK);
    }
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(task?.path().join("schedstat"))?;
        let first = stat.split_whitespace().next().unwrap_or_default();
        sum += first.parse::<u64>().map_err(io::Error::other)?;
    }
    Ok(sum)
}

/// The resident memory of a process in bytes.
fn resident(pid: &str) -> io::Result<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages = statm.split_whitespace().nth(1).unwrap_or_default();
    Ok(pages.parse::<u64>().map_err(io::Error::other)? * 4096)
}

async fn echoed(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    let mut back = [0; 64];
    stream.write_all(bytes).await?;
    stream.flush().await?;
    stream.read_exact(&mut back[..bytes.len()]).await.map(drop)
}

/// The work done by all clients.
#[derive(Clone, Default)]
struct Work {
    is_over: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    resumed: Arc<AtomicU64>,
    /// The number of clients that have received their first bytes back.
    begun: Arc<AtomicU64>,
}

impl Work {
    async fn client(self, addr: SocketAddr, mode: Mode, client: Client) -> io::Result<()> {
        match mode {
            Mode::Connections => {
                self.begun.fetch_add(1, Relaxed);
                while !self.is_over.load(Relaxed) {
                    let mut stream = client.connect(addr).await?;
                    echoed(&mut stream, &[7; 64]).await?;
                    // A reset on close, so that ports never run out.
                    let socket = socket2::SockRef::from(stream.tcp());
                    socket.set_linger(Some(Duration::ZERO))?;
                    if stream.is_resumed() {
                        self.resumed.fetch_add(1, Relaxed);
                    }
                    self.done.fetch_add(1, Relaxed);
                }
            }
            Mode::RoundTrips => {
                let mut stream = client.connect(addr).await?;
                self.begun.fetch_add(1, Relaxed);
                while !self.is_over.load(Relaxed) {
                    echoed(&mut stream, &[7; 64]).await?;
                    self.done.fetch_add(1, Relaxed);
                }
            }
            Mode::Bytes | Mode::Idle => {
                let (mut reader, mut writer) = tokio::io::split(client.connect(addr).await?);
                let (mut back, bytes) = (vec![0; 64 * 1024], vec![7; 64 * 1024]);
                let read = async {
                    reader.read_exact(&mut back[..1]).await?;
                    self.begun.fetch_add(1, Relaxed);
                    while !self.is_over.load(Relaxed) {
                        let n = reader.read(&mut back).await?;
                        self.done.fetch_add(n as u64, Relaxed);
                    }
                    io::Result::Ok(())
                };
                let write = async { while writer.write_all(&bytes).await.is_ok() {} };
                tokio::select! {
                    read = read => read?,
                    () = write => {}
                }
            }
        }
        Ok(())
    }
}

/// Runs `load LOAD PID SECONDS`, which prints the rate and the cost.
pub(crate) async fn run(addr: SocketAddr, args: &[String]) -> io::Result<()> {
    let [name, pid, seconds] = args else {
        return Err(io::Error::other("usage: load LOAD PID SECONDS"));
    };
    let load = LOADS.into_iter().find(|(known, ..)| known == name);
    let (_, mode, tls) = load.ok_or(io::ErrorKind::InvalidInput)?;
    let seconds: u64 = seconds.parse().map_err(io::Error::other)?;
    if mode == Mode::Idle {
        return idle(addr, pid, Client::new(tls)?).await;
    }
    let work = Work::default();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        // Every client has its own sessions.
        let client = work.clone().client(addr, mode, Client::new(tls)?);
        clients.push(tokio::spawn(client));
    }
    // Handshakes are not part of the loads that follow them.
    let connecting = Instant::now();
    while work.begun.load(Relaxed) < CLIENTS as u64 && connecting.elapsed() < CONNECTING {
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_millis(500)).await;
    let (began, cpu_before, before) = (Instant::now(), cpu(pid, tls)?, work.done.load(Relaxed));
    sleep(Duration::from_secs(seconds)).await;
    let (done, cpu) = (
        work.done.load(Relaxed) - before,
        cpu(pid, tls)? - cpu_before,
    );
    let elapsed = began.elapsed().as_secs_f64();
    work.is_over.store(true, Relaxed);
    for client in clients {
        client.await??;
    }
    let (all, resumed) = (work.done.load(Relaxed), work.resumed.load(Relaxed));
    if matches!(tls, Tls::V12 { resumes: true } | Tls::V13 { resumes: true })
        && resumed + (CLIENTS as u64) < all * 9 / 10
    {
        let text = format!("only {resumed} of {all} connections were resumed");
        return Err(io::Error::other(text));
    }
    let unit = if mode == Mode::Bytes { 1048576.0 } else { 1.0 };
    println!(
        "{} {}",
        done as f64 / elapsed,
        cpu as f64 / 1e3 / (done as f64 / unit)
    );
    Ok(())
}

async fn idle(addr: SocketAddr, pid: &str, client: Client) -> io::Result<()> {
    let mut held = Vec::with_capacity(IDLE + 1);
    // The first connection is not counted, since it allocates what all share.
    held.push(client.connect(addr).await?);
    echoed(&mut held[0], b"x").await?;
    let before = resident(pid)?;
    // In parallel, because with TLS a proxy may answer each client only after a delayed
    // acknowledgement.
    let (client, mut connecting) = (Arc::new(client), JoinSet::new());
    for n in 0..IDLE {
        if n >= CLIENTS {
            held.extend(connecting.join_next().await.transpose()?.transpose()?);
        }
        let client = client.clone();
        connecting.spawn(async move {
            let mut stream = client.connect(addr).await?;
            echoed(&mut stream, b"x").await?;
            io::Result::Ok(stream)
        });
    }
    while let Some(stream) = connecting.join_next().await {
        held.push(stream??);
    }
    let each = (resident(pid)? - before) as f64 / IDLE as f64;
    println!("{IDLE} {each}");
    Ok(())
}
