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
    net::{Ipv6Addr, SocketAddr, TcpListener as StdTcpListener},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixListener as StdUnixListener,
    },
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

/// Opens a listening socket, to pass to a process or to accept from.
fn listen(family: Family, port: &Port, path: PathBuf) -> (OwnedFd, At) {
    let tcp = |addr: SocketAddr| {
        let listener = StdTcpListener::bind(addr).unwrap();
        let addr = listener.local_addr().unwrap();
        (listener.into(), At::Tcp(addr))
    };
    match family {
        Family::V4 => tcp(port.addr()),
        Family::V6 => tcp(port.at(Ipv6Addr::LOCALHOST)),
        Family::Unix => (StdUnixListener::bind(&path).unwrap().into(), At::Unix(path)),
    }
}

pub enum Upstream {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Upstream {
    fn new(socket: OwnedFd, at: &At) -> Self {
        match at {
            At::Tcp(_) => {
                let listener = StdTcpListener::from(socket);
                listener.set_nonblocking(true).unwrap();
                Upstream::Tcp(TcpListener::from_std(listener).unwrap())
            }
            At::Unix(_) => {
                let listener = StdUnixListener::from(socket);
                listener.set_nonblocking(true).unwrap();
                Upstream::Unix(UnixListener::from_std(listener).unwrap())
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
    /// The listening socket, until it is passed to the process.
    socket: Option<OwnedFd>,
    _ports: [Port; 2],
}

fn lanes(proxy: &str, dir: &Path) -> Vec<Lane> {
    let mut lanes = Vec::new();
    for family in FAMILIES {
        for front in FRONTS {
            let path = |end| dir.join(format!("{proxy}-{front:?}-{end}.sock"));
            let ports = [Port::new(), Port::new()];
            let (socket, at) = listen(family, &ports[0], path("in"));
            let (upstream, to) = listen(family, &ports[1], path("out"));
            lanes.push(Lane {
                family,
                front,
                at,
                upstream: Upstream::new(upstream, &to),
                to,
                socket: Some(socket),
                _ports: ports,
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
    let mut lanes = lanes("gateway", dir);
    for lane in &mut lanes {
        lane.socket = None;
        let listen = match &lane.at {
            At::Tcp(SocketAddr::V4(_)) => "127.0.0.1:0".to_owned(),
            At::Tcp(_) => "[::1]:0".to_owned(),
            At::Unix(path) => {
                fs::remove_file(path).unwrap();
                path.display().to_string()
            }
        };
        let mut args = vec!["--listen", &listen];
        if lane.front != Front::Plain {
            args.extend(["--tls-cert", cert, "--tls-key", key]);
        }
        let mut command = command(&lane.to.written("unix:"), &args);
        let gateway = Example::start_with("gateway", command.stderr(Stdio::null())).await;
        if let At::Tcp(addr) = &mut lane.at {
            *addr = gateway.addr.parse().unwrap();
        }
        gateways.push(gateway);
    }
    Proxy {
        name: "gateway",
        lanes,
        _processes: Vec::new(),
        _gateways: gateways,
    }
}

pub fn haproxy(dir: &Path, pem: &Path) -> Option<Proxy> {
    let mut config = "global\n maxconn 200\n nbthread 1\n\
         defaults\n mode tcp\n timeout connect 20s\n timeout client 20s\n timeout server 20s\n"
        .to_owned();
    let mut inherited = Vec::new();
    start("haproxy", dir, |lanes, sockets, file| {
        // The sockets are kept until the process has inherited them.
        inherited = sockets;
        for (n, (lane, socket)) in lanes.iter().zip(&inherited).enumerate() {
            rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::empty()).unwrap();
            let fd = socket.as_raw_fd();
            let tls = match lane.front {
                Front::Plain => String::new(),
                _ => format!("ssl crt {}", pem.display()),
            };
            let to = lane.to.written("unix@");
            config += &format!("listen lane{n}\n bind fd@{fd} {tls}\n server app {to}\n");
        }
        fs::write(file, &config).unwrap();
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(file);
        command
    })
}

pub fn nginx(dir: &Path, cert: &str, key: &str) -> Option<Proxy> {
    const MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
    if !Path::new(MODULE).exists() {
        crate::skipped::skipped(format_args!("nginx has no {MODULE}"));
        return None;
    }
    start("nginx", dir, |lanes, sockets, file| {
        // A single nginx process cannot inherit sockets, so it opens these addresses again.
        drop(sockets);
        for lane in lanes {
            if let At::Unix(path) = &lane.at {
                fs::remove_file(path).unwrap();
            }
        }
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
}

/// Starts a process that listens on the addresses in `lanes`, on inherited sockets or by opening
/// them again.
fn start(
    name: &'static str,
    dir: &Path,
    configure: impl FnOnce(&[Lane], Vec<OwnedFd>, &Path) -> Command,
) -> Option<Proxy> {
    let mut lanes = lanes(name, dir);
    let sockets: Vec<OwnedFd> = lanes
        .iter_mut()
        .filter_map(|lane| lane.socket.take())
        .collect();
    let file = dir.join(format!("{name}.cfg"));
    let process = configure(&lanes, sockets, &file)
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
