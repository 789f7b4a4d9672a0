//! A proxy between TCP or Unix sockets, through pipes or buffers.

use crate::{relay::in_time, support::Ends};
use reagent::{BoxError, Connection, Server, ServerHandle, handle};
use reagent_layers::relay::{PlainSocket, Relay, Resettable};
use socket2::SockRef;
use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

/// The kind of a side's socket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Tcp,
    Unix,
}

/// A socket of either kind.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    async fn connect(to: &Place) -> io::Result<Self> {
        Ok(match to {
            Place::Tcp(addr) => Socket::Tcp(TcpStream::connect(addr).await?),
            Place::Unix(path) => Socket::Unix(UnixStream::connect(path).await?),
        })
    }

    /// Makes the systems hold little, so that more is left to the relay.
    pub fn shrink(&self) {
        // With less than two segments of the loopback device, TCP waits for its timers.
        let size = match self {
            Socket::Tcp(_) => 128 * 1024,
            Socket::Unix(_) => 8 * 1024,
        };
        let socket = SockRef::from(self);
        socket.set_send_buffer_size(size).unwrap();
        socket.set_recv_buffer_size(size).unwrap();
    }

    /// Returns the number of bytes in the send queue of a TCP socket (`proc(5)`).
    pub fn unacknowledged(&self) -> u64 {
        let Socket::Tcp(stream) = self else {
            return 0;
        };
        let port =
            |addr: io::Result<std::net::SocketAddr>| format!(":{:04X}", addr.unwrap().port());
        let (own, peer) = (port(stream.local_addr()), port(stream.peer_addr()));
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let mut rows = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = rows.find(|row| row[1].ends_with(&own) && row[2].ends_with(&peer));
        let queues = row.expect("a row of the socket")[4];
        u64::from_str_radix(queues.split(':').next().unwrap(), 16).unwrap()
    }

    /// Closes the socket, with a reset if it is TCP.
    pub fn reset(self) {
        let _ = SockRef::from(&self).set_linger(Some(Duration::ZERO));
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(stream) => stream.as_fd(),
            Socket::Unix(stream) => stream.as_fd(),
        }
    }
}

macro_rules! delegate {
    ($self:ident, $io:ident => $call:expr) => {
        match $self.get_mut() {
            Socket::Tcp($io) => {
                let $io = Pin::new($io);
                $call
            }
            Socket::Unix($io) => {
                let $io = Pin::new($io);
                $call
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, io => io.poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, io => io.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, io => io.poll_write_vectored(cx, bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, io => io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, io => io.poll_shutdown(cx))
    }
}

/// An upstream, whose bytes can go through pipes.
impl Resettable for Socket {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn plain(&self) -> Option<PlainSocket<'_>> {
        match self {
            Socket::Tcp(stream) => stream.plain(),
            Socket::Unix(stream) => stream.plain(),
        }
    }
}

#[derive(Clone, Debug)]
enum Place {
    Tcp(std::net::SocketAddr),
    Unix(PathBuf),
}

enum Upstreams {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A proxy, its upstream, and how its connections end.
pub struct Proxy {
    pub server: ServerHandle,
    pub ends: Ends,
    upstreams: Upstreams,
    own: Place,
    dir: PathBuf,
}

impl Proxy {
    /// Starts a proxy through pipes, or else through buffers.
    pub async fn start(client: Kind, upstream: Kind, is_direct: bool) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "relay-splice-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Relaxed)
        );
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let (upstreams, to) = match upstream {
            Kind::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let to = Place::Tcp(listener.local_addr().unwrap());
                (Upstreams::Tcp(listener), to)
            }
            Kind::Unix => {
                let path = dir.join("upstream");
                let listener = UnixListener::bind(&path).unwrap();
                (Upstreams::Unix(listener), Place::Unix(path))
            }
        };
        let to = Arc::new(to);
        let ends = Ends::default();
        let forward = handle(move |conn: Connection| forward(conn, to.clone(), is_direct));
        let server = match client {
            Kind::Tcp => Server::bind("127.0.0.1:0"),
            Kind::Unix => Server::bind(dir.join("client").as_path()),
        };
        let server = server.observe(ends.clone()).start(forward).await.unwrap();
        let own = match server.local_addr().socket_addr() {
            Some(addr) => Place::Tcp(addr),
            None => Place::Unix(dir.join("client")),
        };
        Proxy {
            server,
            ends,
            upstreams,
            own,
            dir,
        }
    }

    /// Returns a client and its upstream, after a byte in each direction.
    pub async fn pair(&self) -> (Socket, Socket) {
        let mut client = Socket::connect(&self.own).await.unwrap();
        let mut upstream = match &self.upstreams {
            Upstreams::Tcp(listener) => Socket::Tcp(in_time(listener.accept()).await.unwrap().0),
            Upstreams::Unix(listener) => Socket::Unix(in_time(listener.accept()).await.unwrap().0),
        };
        client.write_all(b"!").await.unwrap();
        in_time(upstream.read_exact(&mut [0])).await.unwrap();
        upstream.write_all(b"!").await.unwrap();
        in_time(client.read_exact(&mut [0])).await.unwrap();
        (client, upstream)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

async fn forward(conn: Connection, to: Arc<Place>, is_direct: bool) -> Result<(), BoxError> {
    let upstream = Socket::connect(&to).await?;
    upstream.shrink();
    let relay = Relay::new();
    match is_direct {
        true => relay.run(conn, upstream).await?,
        // A wrapper that may look at the bytes.
        false => relay.run(conn.map_io(|io| io), upstream).await?,
    };
    Ok(())
}
