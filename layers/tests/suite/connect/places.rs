//! Addresses that answer, refuse or stay silent, and what a connector opens.

use crate::support::LONG;
use reagent::BoxError;
use reagent_layers::connect::{
    Connect, ConnectError, ConnectRequest, Resolve, Resolved, Target, UpstreamIo,
};
use socket2::{Domain, SockRef, Socket, Type};
use std::{
    fs,
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::fd::AsRawFd,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{net::TcpListener, time::timeout};
use tower::ServiceExt;

pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(LONG, future).await.expect("done in time")
}

/// A resolver that knows one list of addresses, whatever the name.
#[derive(Debug)]
pub struct Fixed(pub Vec<SocketAddr>);

impl Resolve for Fixed {
    async fn resolve(&self, _: &str) -> Result<Resolved, BoxError> {
        Ok(Resolved::new(self.0.clone()))
    }
}

/// A connector to these addresses, which has all the time of a test.
pub fn to(addrs: impl Into<Vec<SocketAddr>>) -> Connect {
    Connect::new()
        .resolver(Fixed(addrs.into()))
        .timeout(LONG * 10)
        .attempt_timeout(LONG * 10)
}

pub fn name(port: u16) -> Target {
    Target::host("upstream.test", port).unwrap()
}

pub async fn connect(
    connect: &Connect,
    target: impl Into<Target>,
) -> Result<UpstreamIo, ConnectError> {
    in_time(connect.clone().oneshot(target.into())).await
}

/// Does the same, with a preface.
pub async fn connect_to(
    connect: &Connect,
    request: ConnectRequest,
) -> Result<UpstreamIo, ConnectError> {
    in_time(connect.clone().oneshot(request)).await
}

/// An address of the loopback network, which is Linux's own.
pub fn loopback(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}

pub fn at(last: u8, port: u16) -> SocketAddr {
    (loopback(last), port).into()
}

/// A listening socket on 127.0.0.1.
pub async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind(at(1, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// An address that does not answer: the queue of its listener is full, so that the kernel drops
/// further attempts.
#[derive(Debug)]
pub struct Silent {
    pub addr: SocketAddr,
    _listener: Socket,
    _queued: Vec<TcpStream>,
}

impl Silent {
    pub fn new(addr: SocketAddr) -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&addr.into()).unwrap();
        listener.listen(0).unwrap();
        let addr = listener.local_addr().unwrap().as_socket().unwrap();
        let mut queued = Vec::new();
        // Attempts are answered until the queue is full.
        while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(200)) {
            queued.push(stream);
            assert!(queued.len() < 16, "the queue has no end");
        }
        Silent {
            addr,
            _listener: listener,
            _queued: queued,
        }
    }
}

/// The sockets that a connector has opened.
#[derive(Clone, Debug, Default)]
pub struct Opened(Arc<Mutex<Vec<PathBuf>>>);

impl Opened {
    pub fn by(&self, connect: Connect) -> Connect {
        let opened = self.clone();
        connect.before_connect(move |socket| {
            opened.0.lock().unwrap().push(inode(socket.as_raw_fd())?);
            Ok(())
        })
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Returns the number of these that are still open.
    pub fn still(&self) -> usize {
        let open: Vec<_> = fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .collect();
        let opened = self.0.lock().unwrap();
        opened.iter().filter(|inode| open.contains(inode)).count()
    }
}

fn inode(fd: i32) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{fd}"))
}

/// Returns the socket of a stream.
pub fn socket(io: &UpstreamIo) -> SockRef<'_> {
    // A `SockRef` borrows what lives as long as the stream.
    use reagent_layers::relay::Resettable;
    let fd = Box::leak(Box::new(io.socket().unwrap()));
    SockRef::from(&*fd)
}
