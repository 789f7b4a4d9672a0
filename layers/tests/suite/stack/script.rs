//! Clients that end their connections in every possible way, with the expected outcomes.

use super::{Parts, header, proxy};
use crate::{
    endings::end_so,
    tls::pki::{BOTH, Ca},
};
use reagent::{BoxError, Connection, Outcome, testing::Clients};
use reagent_layers::{
    proxy_protocol::ProxyProtocolError, timeout::TimeoutsLayer, tls::HandshakeError,
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::mpsc::UnboundedSender,
    time::sleep,
};
use tokio_rustls::client::TlsStream;

const SECOND: Duration = Duration::from_secs(1);

/// Clients that are refused: the first one by [`Parts`], the second one by a ban of the script.
pub const DENIED: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub const BANNED: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// The progress of a client, and its behaviour from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Connects from an address that is not the proxy's.
    Untrusted,
    /// Sends this instead of a header, and then leaves or stays.
    Header(&'static [u8], Then),
    /// A refused client.
    Named(Ipv4Addr),
    /// Sends this instead of the first message of a handshake.
    Hello(&'static [u8], Then),
    /// Leaves in the middle of a handshake.
    HalfHandshake,
    /// Stalls in the middle of a handshake.
    StalledHandshake,
    /// Does not trust the server's certificate.
    Disbelief,
    /// Sends the handler a command.
    Told(u8),
    /// Is served, and leaves without `close_notify`.
    NoGoodbye,
    /// Sends nothing after the handshake.
    Mute,
    /// Sends a number of bytes at an interval in seconds.
    Slow(usize, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Goes,
    Stays,
}

use Then::{Goes, Stays};
use Way::{Disbelief, HalfHandshake, Header, Hello, Mute, Named, NoGoodbye, Slow, Told, Untrusted};

/// The number of clients with each behaviour, and their outcome. Clients without a handshake are
/// cheap.
pub const WAYS: [(Way, usize, &str); 28] = [
    (Header(b"", Stays), 900, "timed out: proxy protocol"),
    (
        Header(b"PROXY TCP4 ", Stays),
        700,
        "timed out: proxy protocol",
    ),
    (Header(b"", Goes), 900, "rejected: health check"),
    (Header(b"GET / HTTP/1.1", Stays), 700, "failed: header"),
    (Header(b"PROXY TCP4 ", Goes), 700, "failed: header"),
    (Untrusted, 700, "rejected: proxy protocol"),
    (Named(DENIED), 700, "rejected: access"),
    (Named(BANNED), 700, "rejected: banned"),
    (Hello(b"", Stays), 700, "timed out: tls handshake"),
    (Hello(b"", Goes), 700, "disconnected: eof"),
    (Hello(b"GET / HTTP/1.1", Stays), 700, "failed: handshake"),
    (HalfHandshake, 75, "disconnected: eof"),
    (Disbelief, 50, "failed: handshake"),
    (Told(b'c'), 75, "completed"),
    (Told(b'f'), 50, "failed"),
    (Told(b'r'), 50, "rejected: as told"),
    (Told(b't'), 50, "timed out: as told"),
    (Told(b'd'), 50, "drained"),
    (Told(b'a'), 50, "aborted"),
    (Told(b'p'), 50, "panicked"),
    (Told(b'm'), 50, "completed"),
    (NoGoodbye, 50, "disconnected: eof"),
    (Mute, 50, "timed out: first byte"),
    (Told(b's'), 50, "timed out: read"),
    (Told(b'g'), 50, "timed out: write"),
    (Told(b'i'), 50, "timed out: idle"),
    (Slow(1, 5), 50, "timed out: rate"),
    (Slow(1000, 10), 50, "timed out: age"),
];

/// Timeouts, each of which is the first to fire for some client.
pub fn timeouts() -> TimeoutsLayer {
    TimeoutsLayer::new()
        .first_byte(15 * SECOND)
        .read(20 * SECOND)
        .write(25 * SECOND)
        .idle(30 * SECOND)
        .min_rate(10, 40 * SECOND)
        .max_age(60 * SECOND, Duration::ZERO, 5 * SECOND)
}

/// The handler for commands of clients, which may continue to read or write, or give its stream
/// away.
pub async fn handler(
    mut conn: Connection,
    elsewhere: UnboundedSender<Connection>,
) -> Result<(), BoxError> {
    let way = conn.read_u8().await?;
    conn.write_all(&[way]).await?;
    conn.flush().await?;
    match way {
        b's' => loop {
            conn.read_u8().await?;
        },
        b'g' => loop {
            conn.write_all(&[0; 16 * 1024]).await?;
        },
        b'm' => elsewhere.send(conn).map_err(|_| "nobody is there".into()),
        _ => end_so(conn, way).await,
    }
}

/// Formats an outcome as in [`WAYS`].
pub fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(error) if error.is::<HandshakeError>() => "failed: handshake".into(),
        Outcome::Failed(error) if error.is::<ProxyProtocolError>() => "failed: header".into(),
        Outcome::Failed(_) | Outcome::Panicked(_) => outcome.as_str().into(),
        _ => outcome.to_string(),
    }
}

/// State shared by the clients.
#[derive(Clone)]
pub struct Script {
    pub parts: Parts,
    pub clients: Clients,
    /// Trusts another authority.
    stranger: Parts,
}

impl Script {
    pub fn new(parts: Parts, clients: Clients) -> Self {
        let mut stranger = parts.clone();
        stranger.trust = Ca::new("other").believer(BOTH).into();
        Script {
            parts,
            clients,
            stranger,
        }
    }

    /// Returns a client that has sent these bytes after its header.
    async fn named(&self, ip: Ipv4Addr, said: &[u8]) -> DuplexStream {
        let mut io = self.clients.connect_from(proxy()).await.unwrap();
        let said = [&header((ip, 4000).into()), said].concat();
        // The connection may already be closed.
        let _ = io.write_all(&said).await;
        io
    }

    pub async fn secured(&self, number: usize) -> TlsStream<DuplexStream> {
        let io = self.named(address(number), b"").await;
        self.parts.handshake(io).await.unwrap()
    }

    /// Does the same, and sends the handler a command.
    pub async fn telling(&self, number: usize, way: u8) -> TlsStream<DuplexStream> {
        let mut io = self.secured(number).await;
        io.write_all(&[way]).await.unwrap();
        assert_eq!(io.read_u8().await.unwrap(), way);
        io
    }

    /// Runs a client to the end.
    pub async fn act(&self, way: Way, number: usize) {
        let own = address(number);
        match way {
            Untrusted => {
                let from = SocketAddr::from((Ipv4Addr::new(203, 0, 113, 9), 4000));
                end(self.clients.connect_from(from).await.unwrap()).await;
            }
            Header(said, then) => {
                let mut io = self.clients.connect_from(proxy()).await.unwrap();
                io.write_all(said).await.unwrap();
                then.end(io).await;
            }
            Named(ip) => end(self.named(ip, b"").await).await,
            Hello(said, then) => then.end(self.named(own, said).await).await,
            HalfHandshake => {
                let mut io = self.named(own, &self.parts.hello()).await;
                io.read_u8().await.unwrap();
            }
            Way::StalledHandshake => end(self.named(own, &self.parts.hello()).await).await,
            Disbelief => {
                let io = self.named(own, b"").await;
                self.stranger.handshake(io).await.unwrap_err();
            }
            // A flooded client does not read.
            Told(b'g') => {
                let _io = self.telling(number, b'g').await;
                sleep(60 * SECOND).await;
            }
            Told(way) => end(self.telling(number, way).await).await,
            NoGoodbye => drop(self.telling(number, b's').await),
            Mute => end(self.secured(number).await).await,
            Slow(bytes, seconds) => {
                let mut io = self.telling(number, b's').await;
                let said = vec![0; bytes];
                while io.write_all(&said).await.is_ok() && io.flush().await.is_ok() {
                    sleep(seconds * SECOND).await;
                }
            }
        }
    }
}

impl Then {
    async fn end(self, io: DuplexStream) {
        match self {
            Goes => drop(io),
            Stays => end(io).await,
        }
    }
}

/// Waits for the end, orderly or not.
async fn end(mut io: impl AsyncReadExt + Unpin) {
    let _ = io.read_to_end(&mut Vec::new()).await;
}

/// A different address for each client.
pub fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 16, 0, 0)) + number as u32)
}
