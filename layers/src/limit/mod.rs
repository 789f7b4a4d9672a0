//! Limits connections by client and by rate, and the number of handlers that run at once.
//!
//! | layer | what it limits | what happens above the limit |
//! |---|---|---|
//! | [`PerClientLayer`] | the open connections of each client | refuses, or lets a few wait |
//! | [`PerClientRateLayer`] | the connections per second of each client | refuses |
//! | [`AcceptRateLayer`] | the connections per second of all clients together | leaves them in the kernel's queue, or refuses |
//! | [`InFlightLayer`] | the handlers that run at once | leaves clients in the kernel's queue, or refuses |
//!
//! The open connections of a whole server are limited by
//! [`Server::max_connections`](reagent::Server::max_connections).
//!
//! # When to use it
//!
//! Use [`PerClientLayer`] wherever you do not control the clients: without it, a single client can
//! take every place of `max_connections`. Use the layers for rates where accepting a connection is
//! expensive, as with TLS, and [`InFlightLayer`] where the handler needs a scarce resource.
//!
//! # Position in the stack
//!
//! Outside of everything expensive, above all TLS, so that a refused client costs no handshake.
//! Behind a proxy, the per-client limits belong inside `proxy_protocol`, which determines the
//! client's address.
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use reagent_layers::{Refusal, limit::{AcceptRate, AcceptRateLayer, PerClient, PerClientLayer}};
//! use std::net::SocketAddr;
//! use tokio::io::AsyncReadExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let per_client = PerClient::new(1).refusal(Refusal::message("one at a time, please\n"));
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .layer(AcceptRateLayer::new(AcceptRate::new(1_000.0, 100.0)))
//!     .layer(PerClientLayer::new(per_client.clone()))
//!     .start(reagent::handle(|conn: Connection| async move {
//!         conn.draining().await;
//!         Ok::<_, std::io::Error>(())
//!     }))
//!     .await?;
//!
//! let client: SocketAddr = "192.0.2.1:4000".parse()?;
//! let _first = clients.connect_from(client).await?;
//! let mut second = clients.connect_from(client).await?;
//! let mut answer = String::new();
//! second.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "one at a time, please\n");
//!
//! // Every limit can be changed while the server runs.
//! per_client.set_max(10);
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! A client is an IPv4 address or an IPv6 /64. The address is that of the effective
//! [`peer_addr`](reagent::Connection::peer_addr). If a proxy relays for a client without an IP
//! address, the address of the socket decides, so all such clients count as the proxy. Connections
//! over Unix sockets have no IP address at all and are not limited by client.
//!
//! A layer that leaves clients in the kernel's queue holds them back by not being ready. That holds
//! back all clients alike, so the per-client limits cannot work that way. A layer that refuses
//! decides when a connection is accepted, which costs an admitted client no allocation.
//!
//! Each limit can be tried in a [`DryRun`](crate::DryRun) before it is enforced.
//!
//! # Errors
//!
//! A refused connection ends with [`Rejected`](reagent::Rejected) and the reason
//! [`CLIENT_CONNECTIONS`], [`CLIENT_RATE`], [`ACCEPT_RATE`] or [`IN_FLIGHT`].

/// The name of these layers in reports of dry runs.
const LAYER: &str = "limit";

mod accept_rate;
mod in_flight;
mod per_client;
mod per_client_rate;

pub use crate::refusal::LimitFuture;
pub use accept_rate::{ACCEPT_RATE, AcceptRate, AcceptRateLayer, AcceptRateService};
pub use in_flight::{IN_FLIGHT, InFlight, InFlightLayer};
pub use per_client::{
    CLIENT_CONNECTIONS, PerClient, PerClientFuture, PerClientLayer, PerClientService,
};
pub use per_client_rate::{CLIENT_RATE, PerClientRate, PerClientRateLayer, PerClientRateService};
