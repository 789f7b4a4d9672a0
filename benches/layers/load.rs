//! Blocking clients, one at a time.

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

/// The exchange that precedes the payload of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Plain,
    /// Sends a PROXY header in the same write as the first bytes.
    Header,
    /// Performs a TLS handshake.
    Tls,
    Resuming,
}

/// The stream of a client, which is closed in order.
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

    /// Sends the end of the stream. The server closes the connection.
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

/// The number of bytes that the server reads at once.
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
    /// Opens a connection and does one round trip, after waiting this long before the first bytes.
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

/// Sends this number of bytes and reads them back.
pub fn round_trip(stream: &mut Stream, bytes: usize) -> io::Result<()> {
    let mut buf = [7; LARGE];
    let io = stream.io();
    io.write_all(&buf[..bytes])?;
    io.read_exact(&mut buf[..bytes])
}

/// The measured operations.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Step {
    Connection,
    RoundTrip,
    /// A round trip of [`LARGE`] bytes.
    LargeRoundTrip,
}

pub const STEPS: [Step; 3] = [Step::Connection, Step::RoundTrip, Step::LargeRoundTrip];

/// A client that repeats one step.
pub struct Session<'a> {
    step: Step,
    client: Client,
    server: &'a Running,
    kit: &'a Kit,
    stream: Option<Stream>,
}

impl<'a> Session<'a> {
    /// Prepares the step, and waits until the server is idle.
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

    /// Runs the step `count` times, with a pause before each part so that the server becomes idle.
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
