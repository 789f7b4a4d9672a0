//! Admits and refuses clients by their addresses.
//!
//! # When to use it
//!
//! When a server is for some networks only, or must keep some out; and when a handler detects abuse and
//! wants to ban the client for a while.
//!
//! # Position in the stack
//!
//! Outside of everything that is expensive, TLS above all. Behind a proxy, inside the PROXY protocol.
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Outcome, Server, testing::MemoryListener};
//! use reagent_layers::access::{Access, AccessLayer, Rules};
//! use std::{net::SocketAddr, time::Duration};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! // The most specific rule decides; where there is something to allow, all else is denied.
//! let access = Access::new(Rules::new().allow_all(["10.0.0.0/8"])?.deny_all(["10.66.0.0/16"])?);
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .layer(AccessLayer::new(access.clone()))
//!     .start(reagent::handle(|conn: Connection| async move {
//!         conn.draining().await;
//!         Ok::<_, std::io::Error>(())
//!     }))
//!     .await?;
//!
//! let _friend = clients.connect_from("10.1.2.3:4000".parse::<SocketAddr>()?).await?;
//! let _foe = clients.connect_from("10.66.2.3:4000".parse::<SocketAddr>()?).await?;
//! while server.stats().accepted < 2 || server.connection_count() > 1 {
//!     tokio::task::yield_now().await;
//! }
//! assert_eq!(server.stats().rejected, 1);
//!
//! // Both can change at any time.
//! access.set(Rules::new());
//! access.bans().ban("10.1.2.3".parse()?, Duration::from_secs(600));
//! assert!(access.check("10.1.2.3".parse()?).is_err());
//! assert!(access.check("10.66.2.3".parse()?).is_ok());
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! A client is judged by the IP address of the effective [`peer_addr`](reagent::Connection::peer_addr). Where
//! that is no IP address, because a proxy relays for a Unix client, the address of the socket decides, so
//! the rules apply to the proxy. A connection over a Unix socket has neither: rules of networks do not apply to
//! it, and its [`check`](Rules::check) does.
//!
//! The decision is made as the connection is accepted, and costs an admitted client no allocation.
//!
//! # Errors
//!
//! [`Rejected`](reagent::Rejected) with the reason [`ACCESS`] or [`BANNED`].

mod bans;
mod layer;
mod rules;
mod service;

pub use crate::refusal::LimitFuture;
pub use bans::Bans;
pub use layer::{ACCESS, Access, AccessLayer, BANNED};
pub use rules::Rules;
pub use service::AccessService;
