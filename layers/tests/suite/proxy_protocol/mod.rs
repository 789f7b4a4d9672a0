//! `ProxyProtocolLayer`: a header from a trusted sender sets the client address, and no payload is
//! lost.

#[cfg(target_os = "linux")]
mod haproxy;
mod header;
mod property;
mod receiving;
mod trust;
mod v1;
mod v2;
mod waiting;

use crate::support::LONG;
use reagent::{
    Addr, Connection, Observer, Outcome, Server, ServerHandle, event, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::proxy_protocol::{
    Header, Parsed, ProxyInfo, ProxyProtocolError, ProxyProtocolLayer, parse,
};
use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.11 56324 443\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// An address trusted by [`trusting`].
fn proxy() -> SocketAddr {
    addr("10.0.0.7:40000")
}

fn trusting() -> ProxyProtocolLayer {
    ProxyProtocolLayer::new(["10.0.0.0/8".parse().unwrap()])
}

fn v2() -> Header {
    Header::v2(addr("192.0.2.1:56324"), addr("192.0.2.11:443"))
}

/// Parses the header at the start of these bytes, and returns its length too.
fn parsed(bytes: &[u8]) -> (Header, usize) {
    match parse(bytes) {
        Parsed::Done { header, len } => (header, len),
        other => panic!("{other:?}"),
    }
}

fn invalid(bytes: &[u8]) -> ProxyProtocolError {
    match parse(bytes) {
        Parsed::Invalid(error) => error,
        other => panic!("{other:?} of {}", bytes.escape_ascii()),
    }
}

/// Reads everything, then sends the client, its socket, the destination, the header and the
/// payload.
async fn tell(mut conn: Connection) -> io::Result<()> {
    let mut payload = Vec::new();
    conn.read_to_end(&mut payload).await?;
    let local = match conn.local_addr()? {
        Addr::Other(_) => "listener".to_owned(),
        addr => addr.to_string(),
    };
    let header = match conn.extensions().get::<ProxyInfo>() {
        Some(info) => format!("{} {:?}", info.version(), info.command()),
        None => "none".to_owned(),
    };
    let answer = format!(
        "{} via {} to {local}, header {header}: {}",
        conn.peer_addr(),
        conn.socket_addr(),
        payload.escape_ascii()
    );
    conn.write_all(answer.as_bytes()).await
}

/// The outcomes of connections, in order, each with the number of bytes read.
struct Ends(UnboundedReceiver<(Outcome, u64)>);

#[derive(Debug)]
struct Seen(UnboundedSender<(Outcome, u64)>);

impl Observer for Seen {
    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        let _ = self
            .0
            .send((event.outcome.clone(), event.connection.bytes_read()));
    }
}

impl Ends {
    fn new() -> (Seen, Ends) {
        let (sender, receiver) = unbounded_channel();
        (Seen(sender), Ends(receiver))
    }

    async fn next(&mut self) -> (Outcome, u64) {
        let end = tokio::time::timeout(LONG, self.0.recv()).await;
        end.expect("an end").expect("a server")
    }

    async fn failed(&mut self) -> String {
        match self.next().await {
            (Outcome::Failed(error), _) => error.to_string(),
            (other, _) => panic!("{other}"),
        }
    }

    async fn rejected(&mut self) -> String {
        match self.next().await {
            (Outcome::Rejected(rejected), _) => rejected.reason().to_owned(),
            (other, _) => panic!("{other}"),
        }
    }

    async fn timed_out(&mut self) -> String {
        match self.next().await {
            (Outcome::TimedOut(limit), _) => limit.kind().to_owned(),
            (other, _) => panic!("{other}"),
        }
    }
}

/// Starts a server behind this layer that responds with [`tell`].
async fn start(layer: ProxyProtocolLayer) -> (ServerHandle, Clients, Ends) {
    let (listener, clients) = MemoryListener::new();
    let (seen, ends) = Ends::new();
    let server = Server::new(listener).layer(layer).observe(seen);
    let server = server.start(handle(tell)).await.unwrap();
    (server, clients, ends)
}

/// Ends the client's output, and reads the response.
async fn answer(mut client: DuplexStream) -> String {
    let mut answer = String::new();
    let exchange = async {
        client.shutdown().await?;
        client.read_to_string(&mut answer).await
    };
    let result = tokio::time::timeout(LONG, exchange).await.expect("an end");
    result.map_or_else(|error| error.to_string(), |_| answer)
}

/// Returns the response to these bytes from a client at this address.
async fn tells(layer: ProxyProtocolLayer, from: SocketAddr, bytes: &[u8]) -> String {
    let (_server, clients, _ends) = start(layer).await;
    let mut client = clients.connect_from(from).await.unwrap();
    client.write_all(bytes).await.unwrap();
    answer(client).await
}
