//! Clients that block, one at a time.

use crate::{kit::Kit, pool::Running};
use reagent_layers::{
    proxy_protocol::Header,
    tls::rustls::{ClientConfig, ClientConnection, StreamOwned},
};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

/// What a client does before it says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Plain,
    /// It says for whom it comes, as a proxy does, together with what it says first.
    Header,
    /// A whole handshake.
    Tls,
    Resuming,
}

/// A client's stream, which closes as one should.
pub enum Stream {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
}

pub trait ReadWrite: Read + Write {}

impl<T: Read + Write> ReadWrite for T {}

impl Stream {
    pub fn io(&mut self) -> &mut dyn ReadWrite {
        match self {
            Stream::Plain(io) => io,
            Stream::Secure(io) => io,
        }
    }

    /// Says that it is done, and leaves the rest to the server.
    pub fn finish(self) -> io::Result<()> {
        let socket = match self {
            Stream::Plain(socket) => socket,
            Stream::Secure(mut io) => {
                io.conn.send_close_notify();
                io.flush()?;
                io.sock
            }
        };
        socket.shutdown(Shutdown::Write)
    }
}

const SMALL: usize = 64;

/// As much as the server reads at a time.
pub const LARGE: usize = 4096;

#[expect(
    clippy::disallowed_methods,
    reason = "this thread has nothing else to do"
)]
pub fn pause(time: Duration) {
    if !time.is_zero() {
        std::thread::sleep(time);
    }
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(addr)?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn secure(socket: TcpStream, kit: &Kit, config: &Arc<ClientConfig>) -> io::Result<Stream> {
    let connection = ClientConnection::new(config.clone(), kit.name.clone());
    let connection = connection.map_err(io::Error::other)?;
    Ok(Stream::Secure(Box::new(StreamOwned::new(
        connection, socket,
    ))))
}

impl Client {
    /// A client that has had one round trip. It waits so long before it says anything.
    pub fn open(self, addr: SocketAddr, kit: &Kit, wait: Duration) -> io::Result<Stream> {
        let socket = connect(addr)?;
        pause(wait);
        let mut said = Vec::new();
        let mut stream = match self {
            Client::Plain => Stream::Plain(socket),
            Client::Header => {
                let client = SocketAddr::from(([192, 0, 2, 7], 4000));
                let header = Header::v2(client, addr).encode();
                said = header.map_err(io::Error::other)?;
                Stream::Plain(socket)
            }
            Client::Tls => secure(socket, kit, &kit.full)?,
            Client::Resuming => secure(socket, kit, &kit.resuming)?,
        };
        said.extend([7; SMALL]);
        let io = stream.io();
        io.write_all(&said)?;
        io.read_exact(&mut [0; SMALL])?;
        Ok(stream)
    }
}

/// There and back with as many bytes.
pub fn round_trip(stream: &mut Stream, bytes: usize) -> io::Result<()> {
    let mut buf = [7; LARGE];
    let io = stream.io();
    io.write_all(&buf[..bytes])?;
    io.read_exact(&mut buf[..bytes])
}

/// What is measured of a server.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Step {
    Connection,
    RoundTrip,
    /// A round trip of [`LARGE`] bytes.
    LargeRoundTrip,
}

pub const STEPS: [Step; 3] = [Step::Connection, Step::RoundTrip, Step::LargeRoundTrip];

/// A client that is about to do something often.
pub struct Session<'a> {
    step: Step,
    client: Client,
    server: &'a Running,
    kit: &'a Kit,
    stream: Option<Stream>,
}

impl<'a> Session<'a> {
    /// Makes ready, until the server waits.
    pub fn new(step: Step, client: Client, server: &'a Running, kit: &'a Kit) -> io::Result<Self> {
        let stream = match step {
            Step::Connection => None,
            _ => Some(client.open(server.place.addr, kit, Duration::ZERO)?),
        };
        let session = Session {
            step,
            client,
            server,
            kit,
            stream,
        };
        session.settle();
        Ok(session)
    }

    fn settle(&self) {
        self.server.settle(self.stream.iter().len());
    }

    /// Does it so often, and waits so long before each part, for the server to wait as well.
    pub fn run(&mut self, count: usize, wait: Duration) -> io::Result<()> {
        for _ in 0..count {
            pause(wait);
            match (&mut self.stream, self.step) {
                (None, _) => {
                    let addr = self.server.place.addr;
                    let stream = self.client.open(addr, self.kit, wait)?;
                    pause(wait);
                    stream.finish()?;
                }
                (Some(stream), Step::LargeRoundTrip) => round_trip(stream, LARGE)?,
                (Some(stream), _) => round_trip(stream, SMALL)?,
            }
        }
        self.settle();
        Ok(())
    }
}
