//! Limits: how many connections a client may have and how fast it may come, how fast all may come, and
//! how many handlers are at work.
//!
//! | layer | what it limits | over the limit |
//! |---|---|---|
//! | [`PerClientLayer`] | open connections of one client | refuses, or lets wait for a while |
//! | [`PerClientRateLayer`] | connections of one client a second | refuses |
//! | [`AcceptRateLayer`] | connections a second, of all | leaves them in the kernel's queue, or refuses |
//! | [`InFlightLayer`] | handlers at work | leaves clients in the kernel's queue, or refuses |
//!
//! How many connections a server has in all is [`Server::max_connections`](reagent::Server::max_connections).
//!
//! # When
//!
//! `PerClient` always, where clients are not your own: without it one of them can have all the places of
//! `max_connections`. The rates where to accept costs much, as with TLS. `InFlight` where the handler needs
//! something scarce.
//!
//! # Where in the stack
//!
//! Outside of everything that costs something, TLS above all. What is by client goes by the effective
//! [`peer_addr`](reagent::Connection::peer_addr), so behind a proxy it belongs inside the PROXY protocol. A
//! client is an IPv4 address or an IPv6 /64; those who have no IP address, on Unix sockets, are not limited.
//!
//! What is limited by readiness holds back the accept for all clients alike; so a limit by client never
//! does.
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
//! let per_client = PerClient::new(1).refusal(Refusal::farewell("one at a time, please\n"));
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
//! # Errors
//!
//! [`Rejected`](reagent::Rejected) for `client connections`, `client rate`, `accept rate` or `in flight`.

mod accept_rate;
mod gated;
mod in_flight;
mod per_client;
mod per_client_rate;

pub use accept_rate::{AcceptRate, AcceptRateLayer, AcceptRateService};
pub use gated::Gated;
pub use in_flight::{InFlight, InFlightLayer};
pub use per_client::{PerClient, PerClientLayer};
pub use per_client_rate::{PerClientRate, PerClientRateLayer};
