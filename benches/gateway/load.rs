//! The load on a proxy, and what it costs the proxy.

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
    net::{TcpListener, TcpSocket, TcpStream},
    time::sleep,
};

/// How many clients there are at once, but for [`Mode::Idle`].
const CLIENTS: usize = 64;
const IDLE: usize = 4000;

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    /// Connect, send 64 bytes, get them back, reset.
    Connections,
    /// Send 64 bytes and get them back, over and over.
    RoundTrips,
    /// Send 64 KiB at a time, and read what comes back meanwhile.
    Bytes,
    /// Send a byte, get it back, and stay.
    Idle,
}

pub(crate) const MODES: [Mode; 4] = [Mode::Connections, Mode::RoundTrips, Mode::Bytes, Mode::Idle];

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Connections => "connect",
            Mode::RoundTrips => "echo",
            Mode::Bytes => "bulk",
            Mode::Idle => "idle",
        }
    }

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
            Mode::Bytes => "CPU us a MiB",
            Mode::Idle => "bytes each",
        }
    }
}

/// How much was done in a second, and what each cost the proxy.
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

/// The CPU time of a process in nanoseconds, of all its threads.
fn cpu(pid: &str) -> io::Result<u64> {
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

async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn echoed(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut back = [0; 64];
    stream.write_all(bytes).await?;
    stream.read_exact(&mut back[..bytes.len()]).await.map(drop)
}

/// What all clients have done.
#[derive(Clone, Default)]
struct Work {
    is_over: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
}

impl Work {
    async fn client(self, addr: SocketAddr, mode: Mode) -> io::Result<()> {
        match mode {
            Mode::Connections => {
                while !self.is_over.load(Relaxed) {
                    let mut stream = connect(addr).await?;
                    echoed(&mut stream, &[7; 64]).await?;
                    // So that ports never run out.
                    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
                    self.done.fetch_add(1, Relaxed);
                }
            }
            Mode::RoundTrips => {
                let mut stream = connect(addr).await?;
                while !self.is_over.load(Relaxed) {
                    echoed(&mut stream, &[7; 64]).await?;
                    self.done.fetch_add(1, Relaxed);
                }
            }
            Mode::Bytes | Mode::Idle => {
                let (mut reader, mut writer) = connect(addr).await?.into_split();
                let (mut back, bytes) = (vec![0; 64 * 1024], vec![7; 64 * 1024]);
                let read = async {
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

/// `MODE PID SECONDS`: prints the rate and the cost.
pub(crate) async fn run(addr: SocketAddr, args: &[String]) -> io::Result<()> {
    let [mode, pid, seconds] = args else {
        return Err(io::Error::other("load MODE PID SECONDS"));
    };
    let mode = MODES.into_iter().find(|known| known.name() == mode);
    let mode = mode.ok_or(io::ErrorKind::InvalidInput)?;
    let seconds: u64 = seconds.parse().map_err(io::Error::other)?;
    if mode == Mode::Idle {
        return idle(addr, pid).await;
    }
    let work = Work::default();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(work.clone().client(addr, mode)))
        .collect();
    sleep(Duration::from_millis(500)).await;
    let (began, cpu_before, before) = (Instant::now(), cpu(pid)?, work.done.load(Relaxed));
    sleep(Duration::from_secs(seconds)).await;
    let (done, cpu) = (work.done.load(Relaxed) - before, cpu(pid)? - cpu_before);
    let elapsed = began.elapsed().as_secs_f64();
    work.is_over.store(true, Relaxed);
    for client in clients {
        client.await??;
    }
    let unit = if mode == Mode::Bytes { 1048576.0 } else { 1.0 };
    println!(
        "{} {}",
        done as f64 / elapsed,
        cpu as f64 / 1e3 / (done as f64 / unit)
    );
    Ok(())
}

async fn idle(addr: SocketAddr, pid: &str) -> io::Result<()> {
    let mut held = Vec::with_capacity(IDLE + 1);
    // What the first costs is not for each.
    held.push(connect(addr).await?);
    echoed(&mut held[0], b"x").await?;
    let before = resident(pid)?;
    for _ in 0..IDLE {
        let mut stream = connect(addr).await?;
        echoed(&mut stream, b"x").await?;
        held.push(stream);
    }
    let each = (resident(pid)? - before) as f64 / IDLE as f64;
    println!("{IDLE} {each}");
    Ok(())
}
