//! The gateway, HAProxy and nginx, with a listener and an upstream per family and front.

use super::{
    case::{FAMILIES, FRONTS, Family, Front},
    peer::Peer,
};
use crate::{
    gateway::{command, in_time},
    port::Port,
    program::Example,
};
use std::{
    fs,
    io::{self, ErrorKind},
    net::{Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    process::{Child, Command},
    time::sleep,
};

/// The address of a listener.
#[derive(Clone, Debug)]
pub enum At {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl At {
    /// Formats the address for a proxy's configuration, with the proxy's prefix for paths.
    fn written(&self, prefix: &str) -> String {
        match self {
            At::Tcp(addr) => addr.to_string(),
            At::Unix(path) => format!("{prefix}{}", path.display()),
        }
    }

    pub async fn connect(&self) -> Peer {
        match self {
            At::Tcp(addr) => Peer::plain(until_listening(|| TcpStream::connect(addr)).await),
            At::Unix(path) => Peer::plain(until_listening(|| UnixStream::connect(path)).await),
        }
    }
}

/// Connects to a process that may still be starting.
async fn until_listening<T, F: Future<Output = io::Result<T>>>(connect: impl Fn() -> F) -> T {
    let connected = async {
        loop {
            match connect().await {
                Ok(stream) => return stream,
                Err(error) => match error.kind() {
                    ErrorKind::ConnectionRefused | ErrorKind::NotFound => {}
                    _ => panic!("{error}"),
                },
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    in_time(connected).await
}

pub enum Upstream {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Upstream {
    /// Starts to listen, and returns the address too.
    async fn new(family: Family, path: PathBuf) -> (Self, At) {
        let tcp = async |addr: &str| {
            let listener = TcpListener::bind(addr).await.unwrap();
            let at = At::Tcp(listener.local_addr().unwrap());
            (Upstream::Tcp(listener), at)
        };
        match family {
            Family::V4 => tcp("127.0.0.1:0").await,
            Family::V6 => tcp("[::1]:0").await,
            Family::Unix => {
                let listener = UnixListener::bind(&path).unwrap();
                (Upstream::Unix(listener), At::Unix(path))
            }
        }
    }

    pub async fn accept(&self) -> Peer {
        match self {
            Upstream::Tcp(listener) => Peer::plain(listener.accept().await.unwrap().0),
            Upstream::Unix(listener) => Peer::plain(listener.accept().await.unwrap().0),
        }
    }
}

/// A listener of a proxy and the upstream behind it.
pub struct Lane {
    pub family: Family,
    pub front: Front,
    pub at: At,
    pub upstream: Upstream,
    to: At,
    _port: Port,
}

async fn lanes(proxy: &str, dir: &Path) -> Vec<Lane> {
    let mut lanes = Vec::new();
    for family in FAMILIES {
        if family == Family::V6 && crate::skipped::lacks_ipv6() {
            continue;
        }
        for front in FRONTS {
            let path = |end| dir.join(format!("{proxy}-{front:?}-{end}.sock"));
            let (upstream, to) = Upstream::new(family, path("out")).await;
            let port = Port::new();
            let at = match family {
                Family::V4 => At::Tcp(port.addr()),
                Family::V6 => At::Tcp(port.at(Ipv6Addr::LOCALHOST)),
                Family::Unix => At::Unix(path("in")),
            };
            lanes.push(Lane {
                family,
                front,
                at,
                upstream,
                to,
                _port: port,
            });
        }
    }
    lanes
}

/// A running proxy.
pub struct Proxy {
    pub name: &'static str,
    pub lanes: Vec<Lane>,
    _processes: Vec<Child>,
    _gateways: Vec<Example>,
}

/// Starts several gateways, because each serves one front and one upstream.
pub async fn gateways(dir: &Path, cert: &str, key: &str) -> Proxy {
    let mut gateways = Vec::new();
    let lanes = lanes("gateway", dir).await;
    for lane in &lanes {
        let listen = lane.at.written("");
        let mut args = vec!["--listen", &listen];
        if lane.front != Front::Plain {
            args.extend(["--tls-cert", cert, "--tls-key", key]);
        }
        let mut command = command(&lane.to.written("unix:"), &args);
        let gateway = Example::start_with("gateway", command.stderr(Stdio::null())).await;
        gateways.push(gateway);
    }
    Proxy {
        name: "gateway",
        lanes,
        _processes: Vec::new(),
        _gateways: gateways,
    }
}

pub async fn haproxy(dir: &Path, pem: &Path) -> Option<Proxy> {
    let mut config = "global\n maxconn 200\n nbthread 1\n\
         defaults\n mode tcp\n timeout connect 20s\n timeout client 20s\n timeout server 20s\n"
        .to_owned();
    start("haproxy", dir, |lanes, file| {
        for (n, lane) in lanes.iter().enumerate() {
            let tls = match lane.front {
                Front::Plain => String::new(),
                _ => format!("ssl crt {}", pem.display()),
            };
            let (at, to) = (lane.at.written("unix@"), lane.to.written("unix@"));
            config += &format!("listen lane{n}\n bind {at} {tls}\n server app {to}\n");
        }
        fs::write(file, &config).unwrap();
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(file);
        command
    })
    .await
}

pub async fn nginx(dir: &Path, cert: &str, key: &str) -> Option<Proxy> {
    const MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
    if !Path::new(MODULE).exists() {
        crate::skipped::skipped(format_args!("nginx has no {MODULE}"));
        return None;
    }
    start("nginx", dir, |lanes, file| {
        let servers: String = lanes
            .iter()
            .map(|lane| {
                let tls = if lane.front == Front::Plain {
                    ""
                } else {
                    " ssl"
                };
                let (at, to) = (lane.at.written("unix:"), lane.to.written("unix:"));
                format!("server {{ listen {at}{tls}; proxy_pass {to}; }}\n")
            })
            .collect();
        let pid = dir.join("nginx.pid");
        let config = format!(
            "load_module {MODULE};\ndaemon off;\nmaster_process off;\npid {};\n\
             error_log /dev/null crit;\nevents {{ worker_connections 500; }}\n\
             stream {{\nssl_certificate {cert};\nssl_certificate_key {key};\nssl_protocols TLSv1.2 TLSv1.3;\n\
             proxy_half_close on;\nproxy_timeout 20s;\n{servers}}}\n",
            pid.display()
        );
        fs::write(file, config).unwrap();
        let mut command = Command::new("nginx");
        command.args(["-e", "/dev/null", "-c"]).arg(file);
        command
    })
    .await
}

/// Starts a process that listens on the addresses in `lanes`.
async fn start(
    name: &'static str,
    dir: &Path,
    configure: impl FnOnce(&[Lane], &Path) -> Command,
) -> Option<Proxy> {
    let lanes = lanes(name, dir).await;
    let file = dir.join(format!("{name}.cfg"));
    let process = configure(&lanes, &file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn();
    match process {
        Ok(process) => Some(Proxy {
            name,
            lanes,
            _processes: vec![process],
            _gateways: Vec::new(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            crate::skipped::skipped(format_args!("{name} is not installed"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}
