//! The compared servers, each in its own process.

use crate::tls::Files;
use axum::{Router, routing::get};
use axum_server::tls_rustls::RustlsConfig;
use reagent::BoxError;
use reagent_layers::{
    http::HttpLayer,
    limit::{PerClient, PerClientLayer},
    timeout::TimeoutsLayer,
    tls::TlsLayer,
};
use std::{
    env, fs, io,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

/// `axum::serve` (axum-server with TLS), `HttpLayer` alone, `HttpLayer` with every connection
/// limit, the example with all its layers, and nginx.
pub const KINDS: [&str; 5] = ["axum", "bare", "limits", "example", "nginx"];

/// The protocol between a client and a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Protocol {
    pub is_tls: bool,
    pub is_h2: bool,
}

const fn protocol(is_tls: bool, is_h2: bool) -> Protocol {
    Protocol { is_tls, is_h2 }
}

pub const PLAIN: Protocol = protocol(false, false);
pub const PLAIN_H2: Protocol = protocol(false, true);
pub const TLS: Protocol = protocol(true, false);
pub const TLS_H2: Protocol = protocol(true, true);

/// A child process, killed when this is dropped.
pub struct Server {
    pub process: Child,
    pub addr: SocketAddr,
    pub protocol: Protocol,
}

impl Server {
    /// Starts a server on core 0 if there is another core for the load, and under the program in
    /// `wrapper`.
    pub fn start(kind: &str, protocol: Protocol, wrapper: &[&str]) -> io::Result<Self> {
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let command = command(kind, protocol, addr)?;
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let words = [on_core("0"), wrapper, &command].concat();
        let process = Command::new(words[0])
            .args(&words[1..])
            .env("TOKIO_WORKER_THREADS", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut server = Server {
            process,
            addr,
            protocol,
        };
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

    pub fn url(&self) -> String {
        let scheme = match self.protocol.is_tls {
            true => "https",
            false => "http",
        };
        format!("{scheme}://{}/", self.addr)
    }

    /// Ends the process, giving it time to write its results.
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
    }
}

/// Returns the command prefix that pins a program to this core.
pub fn on_core(core: &'static str) -> &'static [&'static str] {
    let can = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    match core {
        "0" if can => &["taskset", "-c", "0"],
        _ if can => &["taskset", "-c", "1"],
        _ => &[],
    }
}

fn command(kind: &str, protocol: Protocol, addr: SocketAddr) -> io::Result<Vec<String>> {
    let exe = env::current_exe()?;
    let files = Files::new();
    let addr = addr.to_string();
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    let words: Vec<&str> = match kind {
        "nginx" => {
            let mut listen = format!("listen {addr} backlog=4096");
            if protocol.is_h2 {
                listen += " http2";
            }
            if protocol.is_tls {
                listen += &format!(
                    " ssl; ssl_certificate {cert}; ssl_certificate_key {key};
                    ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:bench:1m"
                );
            }
            let conf = include_str!("nginx.conf")
                .replace("pid FILE", &format!("pid {}", files.path("nginx.pid")))
                .replace("listen ADDR", &listen);
            fs::write(files.path("nginx.conf"), conf)?;
            return Ok(["nginx", "-c", &files.path("nginx.conf")]
                .map(str::to_owned)
                .to_vec());
        }
        "example" => vec![
            "--listen",
            &addr,
            "--per-client",
            "20000",
            "--max-connections",
            "20000",
        ],
        kind => vec!["serve", kind, &addr],
    };
    let is_example = kind == "example";
    let program = match is_example {
        // target/release/deps/http-HASH
        true => exe
            .ancestors()
            .nth(2)
            .unwrap_or(Path::new("."))
            .join("examples/http"),
        false => exe.clone(),
    };
    let mut command = vec![program.display().to_string()];
    command.extend(words.into_iter().map(str::to_owned));
    if protocol.is_tls {
        command.extend(match is_example {
            true => vec!["--tls-cert".into(), cert, "--tls-key".into(), key],
            false => vec![cert, key],
        });
    }
    Ok(command)
}

/// Runs `serve KIND ADDR [CERT KEY]`.
pub fn serve(args: &[String]) -> io::Result<()> {
    let (kind, addr, tls) = match args {
        [kind, addr] => (kind, addr, None),
        [kind, addr, cert, key] => (kind, addr, Some((cert, key))),
        _ => return Err(io::Error::other("expected serve KIND ADDR [CERT KEY]")),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let router = Router::new().route("/", get(|| async { "hello" }));
    let served = runtime.block_on(async {
        if kind == "axum" {
            let addr: SocketAddr = addr.parse()?;
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(addr)?;
            let listener = socket.listen(4096)?;
            match tls {
                None => axum::serve(listener, router).await?,
                Some((cert, key)) => {
                    let config = RustlsConfig::from_pem_file(cert, key).await?;
                    let listener = listener.into_std()?;
                    axum_server::from_tcp_rustls(listener, config)?
                        .serve(router.into_make_service())
                        .await?;
                }
            }
            return Ok(());
        }
        let tls = tls.map(|(cert, key)| {
            let tls = TlsLayer::builder().certificate(cert, key);
            tls.alpn(["h2", "http/1.1"]).build()
        });
        let server = reagent::Server::bind(addr.as_str());
        let limits = |server: reagent::Server| {
            server
                .max_connections(20_000)
                .layer(PerClientLayer::new(PerClient::new(20_000)))
        };
        let (http, timeouts) = (HttpLayer::new(), TimeoutsLayer::new());
        let server = match (kind.as_str(), tls.transpose()?) {
            ("bare", None) => server.layer(http).start(router).await?,
            ("bare", Some(tls)) => server.layer(tls).layer(http).start(router).await?,
            (_, None) => {
                let server = limits(server).layer(timeouts).layer(http);
                server.start(router).await?
            }
            (_, Some(tls)) => {
                let server = limits(server).layer(tls).layer(timeouts).layer(http);
                server.start(router).await?
            }
        };
        server.wait().await?;
        Ok(())
    });
    served.map_err(|error: BoxError| io::Error::other(error))
}
