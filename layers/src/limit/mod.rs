//! Limits the connections of a client and their rate, the accept rate, and the handlers that run at once.
//!
//! | layer | what it limits | above the limit |
//! |---|---|---|
//! | [`PerClientLayer`] | open connections of one client | refuses, or lets a few wait |
//! | [`PerClientRateLayer`] | connections of one client per second | refuses |
//! | [`AcceptRateLayer`] | connections of all clients per second | leaves them in the kernel's queue, or refuses |
//! | [`InFlightLayer`] | handlers that run | leaves clients in the kernel's queue, or refuses |
//!
//! [`Server::max_connections`](reagent::Server::max_connections) limits all connections of a server.
//!
//! # When to use it
//!
//! `PerClient` wherever clients are not your own: without it one client can take every place of
//! `max_connections`. The rates where accepting is expensive, as with TLS. `InFlight` where the handler needs
//! a scarce resource.
//!
//! # Position in the stack
//!
//! Outside of everything that is expensive, TLS above all. Behind a proxy the limits by client belong inside the
//! PROXY protocol.
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
//! // Every limit can be changed while it holds.
//! per_client.set_max(10);
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! A client is an IPv4 address or an IPv6 /64: that of the effective [`peer_addr`](reagent::Connection::peer_addr),
//! or, where a proxy relays for a client without an IP address, that of the socket, so that such clients count as
//! the proxy. Connections over Unix sockets have neither and are not limited by client.
//!
//! A limit by readiness holds back all clients alike, so a limit by client never works by it. What refuses
//! decides as the connection is accepted, without an allocation for those that are admitted.
//!
//! # Errors
//!
//! [`Rejected`](reagent::Rejected) with the reason [`CLIENT_CONNECTIONS`], [`CLIENT_RATE`], [`ACCEPT_RATE`] or
//! [`IN_FLIGHT`].

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
