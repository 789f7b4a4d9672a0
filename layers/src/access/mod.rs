//! Admits and refuses clients by their addresses.
//!
//! # When to use it
//!
//! Use it when a server is meant for certain networks, or must exclude some, and when a handler
//! detects abuse and wants to ban the client for a while.
//!
//! # Position in the stack
//!
//! Outside of everything expensive, above all TLS, so that a refused client costs no handshake.
//! Behind a proxy, inside `proxy_protocol`, which determines the client's address.
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use reagent_layers::{Refusal, access::{Access, AccessLayer, Rules}};
//! use std::net::SocketAddr;
//! use tokio::io::AsyncReadExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! // Only 10.0.0.0/8 is admitted, without 10.66.0.0/16.
//! let rules = Rules::new().allow_all(["10.0.0.0/8"])?.deny_all(["10.66.0.0/16"])?;
//! let access = Access::new(rules).refusal(Refusal::message("go away\n"));
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .layer(AccessLayer::new(access.clone()))
//!     .start(reagent::handle(|mut conn: Connection| async move {
//!         tokio::io::AsyncWriteExt::write_all(&mut conn, b"welcome\n").await
//!     }))
//!     .await?;
//!
//! for (client, expected) in [
//!     ("10.1.2.3:4000", "welcome\n"),
//!     ("10.66.2.3:4000", "go away\n"),
//!     ("192.0.2.1:4000", "go away\n"),
//! ] {
//!     let mut client = clients.connect_from(client.parse::<SocketAddr>()?).await?;
//!     let mut answer = String::new();
//!     client.read_to_string(&mut answer).await?;
//!     assert_eq!(answer, expected);
//! }
//!
//! // Rules can be replaced at any time. They apply to connections that are accepted from then on.
//! access.set(Rules::new());
//! assert!(access.check("192.0.2.1".parse()?).is_ok());
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! A client is judged by the IP address of the effective
//! [`peer_addr`](reagent::Connection::peer_addr). If that is not an IP address, because a proxy
//! relays for a Unix client, the address of the socket decides, so the rules apply to the proxy. A
//! connection over a Unix socket has no IP address at all: networks and bans do not apply to it,
//! but its [`check`](Rules::check) does.
//!
//! The decision is made when the connection is accepted. It costs an admitted client no allocation,
//! unless changes [apply](Access::apply) to open connections.
//!
//! Rules and bans can be tried in a [`DryRun`](crate::DryRun) before they are enforced.
//!
//! # Errors
//!
//! A refused connection ends with [`Rejected`](reagent::Rejected) and the reason [`ACCESS`] or
//! [`BANNED`], and an open connection that is no longer admitted with [`REVOKED`].

mod bans;
mod existing;
mod layer;
mod rules;
mod saved_bans;
mod service;

pub use crate::refusal::LimitFuture;
pub use bans::Bans;
pub use existing::REVOKED;
pub use layer::{ACCESS, Access, AccessLayer, BANNED};
pub use rules::Rules;
pub use service::AccessService;
