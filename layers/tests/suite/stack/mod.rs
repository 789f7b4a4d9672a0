//! Layers upon layers: they compose in every order that their docs allow, streams lose nothing on the way through
//! them, and whatever clients do, nothing is left of it.

mod ends;
mod ends_of_sockets;
mod fleet;
mod fleet_memory;
mod kinds;
mod orders;
mod phases;
mod probe;
mod script;
mod tower;
mod typed;
mod wrappers;

use crate::tls::pki::{BOTH, Ca, Dir};
use kinds::{Erased, Kind};
use reagent::{
    IoStream, Limit, Server,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{
    access::{Access, Rules},
    bandwidth::{BandwidthLimits, Rate},
    fault::FaultLayer,
    limit::{AcceptRate, PerClient, PerClientRate},
    proxy_protocol::{Header, ProxyProtocolLayer},
    sniff::SniffLayer,
    timeout::TimeoutsLayer,
    tls::{
        TlsLayer,
        rustls::{ClientConfig, ClientConnection},
    },
};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

/// As many handshakes as may run at once.
const HANDSHAKES: usize = 8;

/// Who is at the other end of every socket, and trusted to name the client.
fn proxy() -> SocketAddr {
    "10.0.0.7:40000".parse().unwrap()
}

/// The client that is named unless it matters.
fn client() -> SocketAddr {
    "192.0.2.1:56324".parse().unwrap()
}

/// What the proxy says of a client.
fn header(client: SocketAddr) -> Vec<u8> {
    Header::v2(client, proxy()).encode().unwrap()
}

/// What the layers of a stack are made of, and what they are asked by afterwards.
#[derive(Clone)]
struct Parts {
    accept_rate: AcceptRate,
    access: Access,
    bandwidth: BandwidthLimits,
    fault: FaultLayer,
    in_flight: Limit,
    per_client: PerClient,
    per_client_rate: PerClientRate,
    proxy_protocol: ProxyProtocolLayer,
    sniff: SniffLayer,
    timeouts: TimeoutsLayer,
    tls: TlsLayer,
    trust: Arc<ClientConfig>,
}

impl Parts {
    /// Limits that nobody reaches who does not mean to.
    fn new() -> Self {
        let (dir, ca) = (Dir::new(), Ca::new("ca"));
        let (cert, key) = ca.server(&["localhost"]).write(&dir, "localhost");
        let tls = TlsLayer::from_pem_files(cert, key).unwrap();
        let foes = Rules::new().deny_all(["198.51.100.0/24"]).unwrap();
        let plenty = Rate::new(1 << 40);
        Parts {
            accept_rate: AcceptRate::new(1e9, 1e9),
            access: Access::new(foes),
            bandwidth: BandwidthLimits::new()
                .per_connection(plenty)
                .per_client(plenty)
                .total(plenty),
            fault: FaultLayer::new(0),
            in_flight: Limit::new(100_000),
            per_client: PerClient::new(100_000),
            per_client_rate: PerClientRate::new(1e9, 1e9),
            proxy_protocol: ProxyProtocolLayer::new(["10.0.0.0/8".parse().unwrap()]),
            sniff: SniffLayer::new(),
            timeouts: TimeoutsLayer::new(),
            tls: tls.max_handshakes(HANDSHAKES),
            trust: Arc::new(ca.believer(BOTH)),
        }
    }

    /// These layers, the outermost first, around a service.
    fn stack(&self, order: &[&Kind], service: Erased) -> Erased {
        order
            .iter()
            .rev()
            .fold(service, |inner, kind| kind.wrap(self, inner))
    }

    /// A client of a server with these layers: it sends a PROXY header, and does a handshake, where that is asked.
    async fn connect(&self, clients: &Clients, order: &[&Kind]) -> io::Result<Box<dyn IoStream>> {
        let has = |name| order.iter().any(|kind| kind.name == name);
        let mut stream = clients.connect_from(proxy()).await?;
        if has("proxy protocol") {
            stream.write_all(&header(client())).await?;
        }
        if !has("tls") {
            return Ok(Box::new(stream));
        }
        Ok(Box::new(self.handshake(stream).await?))
    }

    /// The first message of a handshake.
    fn hello(&self) -> Vec<u8> {
        let name = "localhost".try_into().unwrap();
        let mut client = ClientConnection::new(self.trust.clone(), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    async fn handshake<Io: IoStream>(
        &self,
        stream: Io,
    ) -> io::Result<tokio_rustls::client::TlsStream<Io>> {
        let name = "localhost".try_into().unwrap();
        TlsConnector::from(self.trust.clone())
            .connect(name, stream)
            .await
    }
}

fn memory() -> (Server, Clients) {
    let (listener, clients) = MemoryListener::new();
    (Server::new(listener), clients)
}
