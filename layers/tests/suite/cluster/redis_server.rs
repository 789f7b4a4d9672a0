//! A real `redis-server`, and a proxy in front of it that can drop and delay.

use crate::{skipped::skipped, support::LONG};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};

pub struct RedisServer {
    child: Child,
    port: u16,
    dir: PathBuf,
    args: Vec<String>,
}

impl RedisServer {
    /// Starts a server without data, or skips the test if there is none to start.
    pub async fn start(args: &[&str]) -> Option<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Relaxed);
        let dir = std::env::temp_dir().join(format!("cluster-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let free = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let args = args.iter().map(ToString::to_string).collect();
        match spawn(port, &dir, &args) {
            Ok(child) => {
                let server = RedisServer {
                    child,
                    port,
                    dir,
                    args,
                };
                server.is_listening().await;
                Some(server)
            }
            Err(error) => {
                skipped(format_args!("redis-server cannot be started: {error}"));
                None
            }
        }
    }

    async fn is_listening(&self) {
        let listening = async {
            while TcpStream::connect(self.addr()).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LONG, listening).await.expect("redis-server starts");
    }

    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub fn url(&self) -> String {
        format!("redis://{}/0", self.addr())
    }

    /// Sends a signal to the server, such as `STOP`.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Kills the server, and starts it again without its data.
    pub async fn restart_empty(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(self.port, &self.dir, &self.args).unwrap();
        self.is_listening().await;
    }

    pub fn connect(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_connection().unwrap()
    }
}

fn spawn(port: u16, dir: &PathBuf, args: &Vec<String>) -> std::io::Result<Child> {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(dir)
        .args(args)
        .stdout(Stdio::null())
        .spawn()
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A proxy that can cut all connections, and refuse new ones.
pub struct Proxy {
    addr: SocketAddr,
    is_cut: watch::Sender<bool>,
}

impl Proxy {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let is_cut = watch::Sender::new(false);
        let cut = is_cut.subscribe();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut cut = cut.clone();
                tokio::spawn(async move {
                    // Whoever connects meanwhile is never answered.
                    until(&mut cut, false).await;
                    let mut server = TcpStream::connect(server).await.ok()?;
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => return Some(()),
                        // Bytes are dropped, and the connection stays open.
                        () = until(&mut cut, true) => {
                            until(&mut cut, false).await;
                        }
                    }
                    Some(())
                });
            }
        });
        Proxy { addr, is_cut }
    }

    pub fn url(&self) -> String {
        format!("redis://{}/0", self.addr)
    }

    pub fn cut(&self, is_cut: bool) {
        self.is_cut.send_replace(is_cut);
    }
}

async fn until(cut: &mut watch::Receiver<bool>, expected: bool) {
    // The sender lives as long as the test.
    let _ = cut.wait_for(|is_cut| *is_cut == expected).await;
}
