//! Compares the gateway with HAProxy, nginx and a bare Tokio proxy in one run, and with HAProxy,
//! nginx `stream` and stunnel for TLS: `cargo bench --bench gateway`.
//!
//! Requires `cargo build --release --example gateway` and Debian's packages `haproxy`,
//! `nginx-light`, `libnginx-mod-stream` and `stunnel4`; whatever is missing is skipped with a
//! message. Each proxy has one thread (stunnel has one per connection) on core 0, if there are two
//! cores. The load and the upstream are on core 1.
//!
//! These options may follow `--`: `--rounds N` (default 3), `--seconds N` per load (default 2),
//! `--only TEXT`, which selects the loads whose name contains the text, and `--upstreams N` (default
//! 1), between which the proxies balance by the number of open connections (the bare Tokio proxy
//! takes them in turn).
//!
//! The result is the CPU time of the proxy per operation, as a ratio to the bare Tokio proxy (with
//! TLS, to HAProxy) in the same round. The table has the medians of all rounds.
//!
//! | load | behaviour of the clients |
//! |---|---|
//! | `connect` | connect, exchange 64 bytes, reset |
//! | `echo`, `tls-echo` | exchange 64 bytes, repeatedly |
//! | `bulk`, `tls-bulk` | send 64 KiB at a time, and read the echo |
//! | `idle`, `tls-idle` | 4000 connections that have exchanged a byte; memory per connection |
//! | `tls12-full`, `tls13-full` | as `connect`, with a full handshake (ECDSA P-256, X25519) |
//! | `tls12-resumed`, `tls13-resumed` | as `connect`, resuming the session of the last connection |

#![expect(
    clippy::disallowed_methods,
    reason = "the load and the baseline are bare Tokio"
)]

mod load;
#[path = "../machine.rs"]
mod machine;
mod tls;

use load::{Figures, LOADS, Tls};
use std::{
    collections::BTreeMap,
    env, fs, io,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};

/// The first one is the baseline.
const PROXIES: [&str; 4] = ["tokio", "nginx", "haproxy", "gateway"];
const TLS_PROXIES: [&str; 4] = ["haproxy", "nginx", "stunnel", "gateway"];

/// A child process, killed when this is dropped.
struct Process(Child);

impl Process {
    /// Starts the command on this core, if `taskset` is installed.
    fn start(
        core: usize,
        command: &[&str],
        addr: SocketAddr,
        to: &[SocketAddr],
    ) -> io::Result<Self> {
        let is_pinned = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
        let core = core.to_string();
        let pinned = ["taskset", "-c", &core];
        let words = [if is_pinned { &pinned[..] } else { &[] }, command].concat();
        let child = Command::new(words[0])
            .args(&words[1..])
            .env("ADDR", addr.to_string())
            .env("TO", joined(to, " "))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut process = Process(child);
        for _ in 0..100 {
            if TcpStream::connect(addr).is_ok() {
                return Ok(process);
            }
            if let Some(status) = process.0.try_wait()? {
                return Err(io::Error::other(format!("exited at start: {status}")));
            }
            sleep(Duration::from_millis(50));
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn joined(addrs: &[SocketAddr], between: &str) -> String {
    let addrs: Vec<_> = addrs.iter().map(ToString::to_string).collect();
    addrs.join(between)
}

fn free_addr() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Returns the command line of a proxy. Its files are written to `dir`.
fn words(
    proxy: &str,
    dir: &Path,
    is_tls: bool,
    addr: SocketAddr,
    to: &[SocketAddr],
) -> io::Result<Vec<String>> {
    let path = |name: &str| dir.join(name).display().to_string();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let own = |name: &str| Ok::<_, io::Error>(env::current_exe()?.display().to_string() + name);
    let words = match proxy {
        "tokio" => vec![own("")?, "proxy".into()],
        "gateway" => {
            // target/release/deps/gateway-HASH
            let exe = env::current_exe()?;
            let release = exe.ancestors().nth(2).unwrap_or(Path::new("."));
            let gateway = release.join("examples/gateway").display().to_string();
            let addr = addr.to_string();
            let to: Vec<_> = to.iter().map(ToString::to_string).collect();
            let mut words = vec![&*gateway, "--threads", "1", "--listen", &addr];
            words.extend(to.iter().flat_map(|to| ["--to", to]));
            if is_tls {
                words.extend(["--tls-cert", &cert, "--tls-key", &key]);
            }
            words.into_iter().map(str::to_owned).collect()
        }
        "haproxy" => {
            let file = dir.join("haproxy.cfg");
            let mut conf = include_str!("haproxy.cfg").to_owned();
            if is_tls {
                // The same curve as for the other proxies.
                let tls = format!("backlog 4096 ssl crt {} curves X25519", path("both.pem"));
                conf = conf.replace("backlog 4096", &tls);
            }
            for (index, to) in to.iter().enumerate() {
                conf += &format!("    server upstream{index} {to}\n");
            }
            fs::write(&file, conf)?;
            ["haproxy", "-db", "-f", &file.display().to_string()]
                .map(str::to_owned)
                .to_vec()
        }
        "stunnel" => {
            let (file, to) = (path("stunnel.conf"), joined(to, "\nconnect = "));
            let conf = format!(
                "foreground = yes\npid =\ndebug = 0\nsocket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n\
                 [proxy]\naccept = {addr}\nconnect = {to}\ncert = {cert}\nkey = {key}\ncurves = X25519\n"
            );
            fs::write(&file, conf)?;
            vec!["stunnel".into(), file]
        }
        _ => {
            let file = dir.join("nginx.conf");
            let conf = include_str!("nginx.conf");
            let pid = file.with_extension("pid").display().to_string();
            let mut listen = format!("listen {addr} backlog=4096");
            if is_tls {
                listen += &format!(
                    " ssl; ssl_certificate {cert}; ssl_certificate_key {key}; ssl_ecdh_curve X25519;
                    ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:bench:1m"
                );
            }
            let conf = conf.replace("listen ADDR backlog=4096", &listen);
            let conf = conf.replace("pid FILE", &format!("pid {pid}"));
            let servers = format!("server {};", joined(to, "; server "));
            fs::write(&file, conf.replace("SERVERS", &servers))?;
            ["nginx", "-c", &file.display().to_string()]
                .map(str::to_owned)
                .to_vec()
        }
    };
    Ok(words)
}

fn measure(
    proxy: &str,
    dir: &Path,
    load: &str,
    tls: Tls,
    options: &Options,
) -> io::Result<Figures> {
    let addr = free_addr()?;
    let to: Vec<_> = (0..options.upstreams)
        .map(|_| free_addr())
        .collect::<Result<_, _>>()?;
    let own = env::current_exe()?.display().to_string();
    let _upstream = Process::start(1, &[&own, "upstream"], to[0], &to)?;
    let words = words(proxy, dir, tls != Tls::None, addr, &to)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let proxy = Process::start(0, &words, addr, &to)?;
    let pid = proxy.0.id().to_string();
    let seconds = options.seconds.to_string();
    let load: [&str; 8] = ["taskset", "-c", "1", &own, "load", load, &pid, &seconds];
    let output = Command::new(load[0])
        .args(&load[1..])
        .env("ADDR", addr.to_string())
        .env("DIR", dir)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    Figures::parse(&said).ok_or_else(|| {
        io::Error::other(format!("{said}{}", String::from_utf8_lossy(&output.stderr)))
    })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

struct Options {
    rounds: u64,
    seconds: u64,
    upstreams: u64,
    /// A part of the names of the loads.
    only: String,
}

fn compare(options: &Options) -> io::Result<()> {
    let dir: PathBuf = env::temp_dir().join(format!("gateway-bench-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    tls::create(&dir)?;
    for (name, mode, tls) in LOADS
        .into_iter()
        .filter(|(name, ..)| name.contains(&options.only))
    {
        let proxies = match tls {
            Tls::None => PROXIES,
            _ => TLS_PROXIES,
        };
        let mut all: BTreeMap<&str, Vec<(Figures, f64)>> = BTreeMap::new();
        for _ in 0..options.rounds {
            let mut base = f64::NAN;
            for proxy in proxies {
                match measure(proxy, &dir, name, tls, options) {
                    Ok(figures) => {
                        if proxy == proxies[0] {
                            base = figures.cost;
                        }
                        let ratio = figures.cost / base;
                        all.entry(proxy).or_default().push((figures, ratio));
                    }
                    Err(error) => println!("{proxy} is skipped: {error}"),
                }
            }
        }
        println!(
            "\n{:<14}{:>16}{:>18}{:>10}",
            name,
            mode.rate(),
            mode.cost(),
            "ratio"
        );
        for proxy in proxies {
            let Some(rounds) = all.get(proxy) else {
                continue;
            };
            println!(
                "{proxy:<14}{:>16.0}{:>18.1}{:>10.3}",
                median(rounds.iter().map(|(figures, _)| figures.rate)),
                median(rounds.iter().map(|(figures, _)| figures.cost)),
                median(rounds.iter().map(|(_, ratio)| *ratio)),
            );
        }
    }
    fs::remove_dir_all(&dir)
}

/// The bare Tokio proxy.
async fn proxy(addr: SocketAddr, to: Vec<SocketAddr>) -> io::Result<()> {
    let listener = load::listen(addr)?;
    for to in to.into_iter().cycle() {
        let (mut client, _) = listener.accept().await?;
        tokio::spawn(async move {
            client.set_nodelay(true)?;
            let mut upstream = tokio::net::TcpStream::connect(to).await?;
            upstream.set_nodelay(true)?;
            tokio::io::copy_bidirectional(&mut client, &mut upstream).await
        });
    }
    Ok(())
}

async fn upstreams(addrs: Vec<SocketAddr>) -> io::Result<()> {
    let mut all = JoinSet::new();
    for addr in addrs {
        all.spawn(upstream(addr));
    }
    all.join_all().await.into_iter().collect()
}

async fn upstream(addr: SocketAddr) -> io::Result<()> {
    let listener = load::listen(addr)?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            stream.set_nodelay(true)?;
            let mut buf = vec![0; 64 * 1024];
            loop {
                match stream.read(&mut buf).await? {
                    0 => return io::Result::Ok(()),
                    n => stream.write_all(&buf[..n]).await?,
                }
            }
        });
    }
}

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let number = |name: &str, default: u64| {
        let value = args.iter().skip_while(|arg| *arg != name).nth(1);
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    };
    let addrs = |name: &str| {
        let addrs = env::var(name).map_err(io::Error::other)?;
        let addrs = addrs.split(' ').map(str::parse);
        addrs
            .collect::<Result<Vec<SocketAddr>, _>>()
            .map_err(io::Error::other)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match args.first().map(String::as_str) {
        Some("proxy") => runtime.block_on(proxy(addrs("ADDR")?[0], addrs("TO")?)),
        Some("upstream") => runtime.block_on(upstreams(addrs("TO")?)),
        Some("load") => runtime.block_on(load::run(addrs("ADDR")?[0], &args[1..])),
        // The argument passed by `cargo test --benches`.
        Some("--test") => Ok(()),
        _ => {
            machine::print();
            let only = args.iter().skip_while(|arg| *arg != "--only").nth(1);
            compare(&Options {
                rounds: number("--rounds", 3),
                seconds: number("--seconds", 2),
                upstreams: number("--upstreams", 1).max(1),
                only: only.cloned().unwrap_or_default(),
            })
        }
    }
}
