//! A real `redis-server`.

use crate::{port::Port, skipped::skipped, support::LONG};
use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

pub struct RedisServer {
    child: Child,
    port: Port,
    _cluster_port: Option<Port>,
    dir: PathBuf,
    args: Vec<String>,
}

impl RedisServer {
    /// Starts a server without data, or skips the test if it cannot be started.
    pub async fn start(args: &[&str]) -> Option<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Relaxed);
        let dir = std::env::temp_dir().join(format!("cluster-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let port = Port::new();
        let mut cluster_port = None;
        let mut args: Vec<_> = args.iter().map(ToString::to_string).collect();
        if args.contains(&"--cluster-enabled".into()) {
            // By default it is 10,000 above the port, where there may be none.
            let port = cluster_port.insert(Port::new()).number().to_string();
            args.extend(["--cluster-port".into(), port]);
        }
        match spawn(&port, &dir, &args) {
            Ok(child) => {
                let server = RedisServer {
                    child,
                    port,
                    _cluster_port: cluster_port,
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
        self.port.addr()
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
        self.child = spawn(&self.port, &self.dir, &self.args).unwrap();
        self.is_listening().await;
    }
}

fn spawn(port: &Port, dir: &PathBuf, args: &Vec<String>) -> std::io::Result<Child> {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.number().to_string()])
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
