//! The servers that are compared, each as a process.

use axum::{Router, routing::get};
use reagent::BoxError;
use reagent_layers::{
    http::HttpLayer,
    limit::{PerClient, PerClientLayer},
    timeout::TimeoutsLayer,
};
use std::{
    env, fs, io,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

/// `axum::serve`; this library's layer alone; the same with every limit of connections; the example with all its
/// layers; and nginx.
pub const KINDS: [&str; 5] = ["axum", "bare", "limits", "example", "nginx"];

/// A process that ends with its owner.
pub struct Server {
    pub process: Child,
    pub addr: SocketAddr,
}

impl Server {
    /// On core 0, where there is another for the load, and under the program that `wrapper` names.
    pub fn start(kind: &str, is_h2: bool, wrapper: &[&str]) -> io::Result<Self> {
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let command = command(kind, is_h2, addr)?;
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let words = [on_core("0"), wrapper, &command].concat();
        let process = Command::new(words[0])
            .args(&words[1..])
            .env("TOKIO_WORKER_THREADS", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut server = Server { process, addr };
        for _ in 0..400 {
            if TcpStream::connect(addr).is_ok() {
                return Ok(server);
            }
            if let Some(status) = server.process.try_wait()? {
                return Err(io::Error::other(format!("it ended at once: {status}")));
            }
            sleep(Duration::from_millis(50));
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Ends it so that it can write down what it has to.
    pub fn stop(mut self) -> io::Result<()> {
        let pid = self.process.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        self.process.wait().map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for file in [nginx_conf(), nginx_conf().with_extension("pid")] {
            let _ = fs::remove_file(file);
        }
    }
}

fn nginx_conf() -> PathBuf {
    env::temp_dir().join(format!("http-bench-{}.conf", std::process::id()))
}

/// The words that keep a program on this core.
pub fn on_core(core: &'static str) -> &'static [&'static str] {
    let can = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    match core {
        "0" if can => &["taskset", "-c", "0"],
        _ if can => &["taskset", "-c", "1"],
        _ => &[],
    }
}

fn command(kind: &str, is_h2: bool, addr: SocketAddr) -> io::Result<Vec<String>> {
    let exe = env::current_exe()?;
    let addr = addr.to_string();
    let words = match kind {
        "nginx" => {
            let file = nginx_conf();
            let protocol = if is_h2 { " http2" } else { "" };
            let conf = include_str!("nginx.conf")
                .replace(
                    "pid FILE",
                    &format!("pid {}", file.with_extension("pid").display()),
                )
                .replace(
                    "listen ADDR",
                    &format!("listen {addr} backlog=4096{protocol}"),
                );
            fs::write(&file, conf)?;
            ["nginx", "-c", &file.display().to_string()]
                .map(str::to_owned)
                .to_vec()
        }
        "example" => {
            // target/release/deps/http-HASH
            let release = exe.ancestors().nth(2).unwrap_or(Path::new("."));
            let example = release.join("examples/http").display().to_string();
            let options = ["--per-client", "20000", "--max-connections", "20000"];
            [&[example.as_str(), "--listen", &addr], &options[..]]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect()
        }
        kind => [&exe.display().to_string(), "serve", kind, &addr]
            .map(str::to_owned)
            .to_vec(),
    };
    Ok(words)
}

/// `KIND ADDR`
pub fn serve(args: &[String]) -> io::Result<()> {
    let [kind, addr] = args else {
        return Err(io::Error::other("serve KIND ADDR"));
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let router = Router::new().route("/", get(|| async { "hello" }));
    let served = runtime.block_on(async {
        match kind.as_str() {
            "axum" => {
                let addr: SocketAddr = addr.parse()?;
                let socket = tokio::net::TcpSocket::new_v4()?;
                socket.set_reuseaddr(true)?;
                socket.bind(addr)?;
                axum::serve(socket.listen(4096)?, router).await?;
            }
            "bare" => {
                let server = reagent::Server::bind(addr.as_str())
                    .layer(HttpLayer::new())
                    .start(router)
                    .await?;
                server.wait().await?;
            }
            _ => {
                let server = reagent::Server::bind(addr.as_str())
                    .max_connections(20_000)
                    .layer(PerClientLayer::new(PerClient::new(20_000)))
                    .layer(TimeoutsLayer::new())
                    .layer(HttpLayer::new())
                    .start(router)
                    .await?;
                server.wait().await?;
            }
        }
        Ok::<_, BoxError>(())
    });
    served.map_err(io::Error::other)
}
