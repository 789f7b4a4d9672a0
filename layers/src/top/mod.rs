//! Finds the clients with the most connections, bytes and refusals.
//!
//! # When to use it
//!
//! Use it to learn who causes the load when a server is busy or under attack. The `admin` page shows
//! it. Metrics cannot: a time series for each client would grow without bound.
//!
//! # Position in the stack
//!
//! The observer has no position: [`TopClients`] is an [`Observer`](reagent::Observer) and not a
//! layer, so it counts every connection, including those that a layer turns away.
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use reagent_layers::top::TopClients;
//! use std::{net::SocketAddr, time::Duration};
//! use tokio::io::AsyncReadExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let top = TopClients::new().half_life(Duration::from_secs(600));
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .observe(top.clone())
//!     .start(reagent::handle(|_: Connection| async { std::io::Result::Ok(()) }))
//!     .await?;
//!
//! for client in ["192.0.2.1:4000", "192.0.2.2:4000", "192.0.2.1:4001"] {
//!     let client: SocketAddr = client.parse()?;
//!     clients.connect_from(client).await?.read(&mut [0]).await?;
//! }
//! server.drain(Duration::from_secs(1)).await;
//! let first = top.by_connections(1)[0];
//! assert_eq!((first.client.to_string(), first.count, first.error), ("192.0.2.1".into(), 2, 0));
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! ## Bounds
//!
//! Memory is bounded, whatever the number of clients. With `m` counters (1,024 by default) and a
//! total of `n` (of connections, say):
//!
//! - A [`count`](TopClient::count) is never less than the truth, and exceeds it by at most
//!   [`error`](TopClient::error), which is at most `n / m`.
//! - Every client with more than `n / m` has a counter.
//! - As long as there are no more than `m` clients, all counts are exact.
//!
//! With a [half-life](TopClients::half_life), `n` is the total that is left, and a count that was
//! halved may be too small by one.
//!
//! It is the space-saving algorithm of Metwally, Agrawal and El Abbadi (2005).
//!
//! ## Clients
//!
//! A client is an IPv4 address or an IPv6 /64: that of the effective
//! [`peer_addr`](reagent::Connection::peer_addr) at the end of the connection. Connections without
//! an IP address are not counted.
//!
//! ## Cost
//!
//! The end of a connection takes one lock, for about a microsecond.
//!
//! # Errors
//!
//! The observer ends no connection.

mod observer;
mod summary;

pub use observer::{TopBy, TopClients};
pub use summary::TopClient;
