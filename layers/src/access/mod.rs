//! Admits and refuses clients by their addresses, and TLS clients by their JA4 fingerprints.
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
//! ## By fingerprint
//!
//! [`Rules::deny_ja4`] refuses TLS clients by the library and settings that they use. The
//! fingerprint is known only after `sniff` has read the ClientHello, so these rules belong in a second
//! layer, inside of `SniffLayer` and outside of TLS. Keep the networks and bans in the first one,
//! which refuses clients before anything is read:
//!
//! ```
//! # #[cfg(feature = "sniff")]
//! # fn example() -> Result<(), reagent::BoxError> {
//! use reagent::Server;
//! use reagent_layers::{access::{Access, AccessLayer, Rules}, sniff::SniffLayer};
//!
//! let networks = Access::new(Rules::new().deny_all(["192.0.2.0/24"])?);
//! let clients = Access::new(Rules::new().deny_ja4(["t13i190800_9dc949149365_97f8aa674fd9"])?);
//! let server = Server::bind("[::]:443")
//!     .layer(AccessLayer::new(networks))
//!     .layer(SniffLayer::new().ja4(true))
//!     .layer(AccessLayer::new(clients.clone()));
//! // TLS and the handler follow. The list can be replaced while the server runs:
//! clients.set(Rules::new().deny_ja4(["t13d190900_9dc949149365_97f8aa674fd9"])?);
//! # Ok(())
//! # }
//! ```
//!
//! **Many clients share a fingerprint.** It stands for a TLS library with its settings, so it is the
//! same for a scanner and for every other program that uses that library in the same way. It changes
//! when a browser is updated, and a client that wants to can imitate another. Try a list in a dry run
//! first, and see who would be refused. `score` counts no offence for such a refusal.
//!
//! Rules and bans can be tried in a [`DryRun`](crate::DryRun) before they are enforced.
//!
//! # Errors
//!
//! A refused connection ends with [`Rejected`](reagent::Rejected) and the reason [`ACCESS`],
//! [`BANNED`] or [`JA4`], and an open connection that is no longer admitted with [`REVOKED`].

mod bans;
mod existing;
mod fingerprints;
mod layer;
mod rules;
mod saved_bans;
mod service;

pub use crate::refusal::LimitFuture;
pub use bans::Bans;
pub use existing::REVOKED;
pub use fingerprints::InvalidFingerprint;
pub use layer::{ACCESS, Access, AccessLayer, BANNED, JA4};
pub use rules::Rules;
pub use service::AccessService;
