//! The layer of connections by client and its settings.

use super::{
    PerClientService,
    clients::{Clients, Place},
};
use crate::{Refusal, client::ClientKey};
use std::{fmt, net::IpAddr, sync::Arc, time::Duration};
use tower_layer::Layer;

/// The reason of a [`Rejected`](reagent::Rejected) connection beyond those that its client may have.
pub const CLIENT_CONNECTIONS: &str = "client connections";

/// A limit of the open connections of each client. Clones share it, whichever servers they limit.
///
/// It remembers clients that have a connection and no others, so the server's own limit bounds it.
#[derive(Clone)]
pub struct PerClient {
    clients: Arc<Clients>,
    prefixes: ClientKey,
    pub(super) wait: Option<Wait>,
    refusal: Refusal,
}

/// How many connections of a client may wait, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    pub(super) most: usize,
    pub(super) time: Duration,
}

impl PerClient {
    /// Allows `max` connections per client and closes any beyond that.
    pub fn new(max: usize) -> Self {
        PerClient {
            clients: Clients::new(max),
            prefixes: ClientKey::default(),
            wait: None,
            refusal: Refusal::default(),
        }
    }

    /// Sets how many leading bits of an address make a client. Default 32 for IPv4 and 64 for IPv6.
    pub fn prefixes(mut self, v4: u8, v6: u8) -> Self {
        self.prefixes = ClientKey { v4, v6 };
        self
    }

    /// Allows up to `connections` of a client to wait for another of its connections to end, each for up to
    /// `time`. Those beyond that are refused at once. Default none.
    ///
    /// A connection that waits counts under the server's
    /// [`max_connections`](reagent::Server::max_connections) and holds whatever the layers inside reserve in
    /// their readiness: keep `connections` small, since that is what a client can take from others.
    pub fn wait(mut self, connections: usize, time: Duration) -> Self {
        self.wait = (connections > 0).then_some(Wait {
            most: connections,
            time,
        });
        self
    }

    /// Sets what is done to connections that are refused. Default [`Refusal::Close`].
    pub fn refusal(mut self, refusal: Refusal) -> Self {
        self.refusal = refusal;
        self
    }

    /// Changes how many connections each client may have. Connections that are open stay.
    pub fn set_max(&self, max: usize) {
        self.clients.set_max(max);
    }

    /// Returns the number of clients that have connections.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Returns the number of connections that the client of this address has. Those that wait do not count.
    pub fn connections(&self, ip: IpAddr) -> usize {
        self.clients.connections(self.prefixes.of(ip))
    }

    pub(super) fn enter(&self, ip: IpAddr) -> Option<Place> {
        self.clients.enter(self.prefixes.of(ip))
    }

    pub(super) fn join(&self, ip: IpAddr, most: usize) -> Option<Place> {
        self.clients.wait(self.prefixes.of(ip), most)
    }

    pub(super) fn how(&self) -> &Refusal {
        &self.refusal
    }
}

impl fmt::Debug for PerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerClient")
            .field("max", &self.clients.max())
            .field("clients", &self.clients())
            .finish_non_exhaustive()
    }
}

/// The layer of a [`PerClient`].
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless it is added to a server or a stack"]
pub struct PerClientLayer {
    limit: PerClient,
}

impl PerClientLayer {
    /// Creates a layer that limits each client by `limit`.
    pub fn new(limit: PerClient) -> Self {
        PerClientLayer { limit }
    }
}

impl<S> Layer<S> for PerClientLayer {
    type Service = PerClientService<S>;

    fn layer(&self, inner: S) -> PerClientService<S> {
        PerClientService::new(inner, self.limit.clone())
    }
}
