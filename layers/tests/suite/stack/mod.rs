//! Stacks of layers: layers compose in every documented order, streams pass through them without
//! loss, and nothing is left behind, whatever clients do.

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

/// The maximum number of concurrent handshakes.
const HANDSHAKES: usize = 8;

/// The peer address of every socket, a trusted proxy.
fn proxy() -> SocketAddr {
    "10.0.0.7:40000".parse().unwrap()
}

/// The default client in PROXY headers.
fn client() -> SocketAddr {
    "192.0.2.1:56324".parse().unwrap()
}

/// Returns the PROXY header for a client.
fn header(client: SocketAddr) -> Vec<u8> {
    Header::v2(client, proxy()).encode().unwrap()
}

/// The configuration of all layers of a stack, and handles to check them afterwards.
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
    /// Limits that are reached only on purpose.
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

    /// Wraps a service in these layers, the outermost first.
    fn stack(&self, order: &[&Kind], service: Erased) -> Erased {
        order
            .iter()
            .rev()
            .fold(service, |inner, kind| kind.wrap(self, inner))
    }

    /// Connects to a server with these layers. Sends a PROXY header and does a handshake if the
    /// layers require it.
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

    /// Returns the first message of a handshake.
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
