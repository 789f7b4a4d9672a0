//! Receives the client's address from a proxy in front of the server: [HAProxy's PROXY
//! protocol][spec], versions 1 and 2.
//!
//! # When to use it
//!
//! Use it when a load balancer or proxy relays connections to the server, so that every socket's
//! peer is the proxy. The proxy sends a header before the client's data. This layer removes the
//! header and sets `peer_addr()` to the client's address, for handlers as well as for limits,
//! access rules and logs.
//!
//! Since anybody can send such a header, the layer has to know which senders are proxies to trust.
//! Clients from elsewhere are refused, or, with [`Untrusted::PassThrough`], served as they are and
//! without delay. The latter is the way to serve both kinds of clients at one address.
//!
//! [`Mode::Optional`], on the other hand, guesses whether a trusted sender has sent a header, which
//! the specification forbids. Use it only while trusted senders are being switched over. If the
//! server speaks first, a client without a header waits in silence until the time limit expires.
//!
//! # Position in the stack
//!
//! The layer is the outermost, except for limits that do not depend on the client. It belongs
//! outside of TLS, since the header precedes the handshake, and outside of every layer that uses
//! `peer_addr()`.
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use reagent_layers::proxy_protocol::{Header, ProxyInfo, ProxyProtocolLayer, Tlv};
//! use std::net::SocketAddr;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .layer(ProxyProtocolLayer::new(["10.0.0.0/8".parse()?]))
//!     .start(reagent::handle(|mut conn: Connection| async move {
//!         let host = conn.extensions().get::<ProxyInfo>().and_then(|info| info.authority());
//!         let answer = format!("{} wants {}", conn.peer_addr(), host.unwrap_or("nothing"));
//!         conn.write_all(answer.as_bytes()).await
//!     }))
//!     .await?;
//!
//! let proxy: SocketAddr = "10.0.0.7:40000".parse()?;
//! let mut stream = clients.connect_from(proxy).await?;
//! let client: SocketAddr = "192.0.2.1:56324".parse()?;
//! let header = Header::v2(client, proxy).tlv(Tlv::Authority("example.com".into()));
//! stream.write_all(&header.encode()?).await?;
//!
//! let mut answer = String::new();
//! stream.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "192.0.2.1:56324 wants example.com");
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! A connection that the proxy makes for itself (LOCAL) is served, as the specification requires.
//! It keeps the addresses of its socket and gets the label `proxy: local`, by which an observer can
//! leave it out of its logs.
//!
//! The host name that the client asked the proxy for (the TLV `authority`) becomes the label
//! `server.address`. Addresses are in canonical form, so an IPv4 client is always IPv4, whatever
//! sockets it came through.
//!
//! A connection from which no header is expected ([`Mode::Off`] or [`Untrusted::PassThrough`]) does
//! not count as an upgrade and is passed on unchanged.
//!
//! The parser is part of this crate. The crates `ppp` and `proxy-header` do not verify checksums,
//! and refuse LOCAL headers with a family that should be ignored. In addition, `proxy-header` does
//! not read Unix addresses, accepts ports with leading zeros, and waits for 15 bytes whenever the
//! first is a `P`. In optional mode, these may never come. `ppp` does not parse the contents of the
//! SSL TLV. Using either would save about two hundred lines.
//!
//! # Errors
//!
//! - [`ProxyProtocolError`]: the header is missing although it is required, or it is not valid.
//! - [`Rejected`](reagent::Rejected) with the reason [`REJECTED`] (`proxy protocol`): the sender is
//!   not trusted.
//! - [`Rejected`](reagent::Rejected) with the reason [`HEALTH_CHECK`] (`health check`): the
//!   connection ended before its first byte, as it does when a proxy checks that the port is open.
//!   The handler is not called. In optional mode, an orderly end means a client that has nothing to
//!   send, and the handler is called.
//! - [`TimedOut`](reagent::TimedOut) with the kind [`TIMEOUT`] (`proxy protocol`): the header did
//!   not arrive in time.
//!
//! The label `error.type` is set to `untrusted_proxy` for an untrusted sender, and to
//! [`ProxyProtocolError::kind`] for a missing or invalid header.
//!
//! [spec]: https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt

mod addresses;
mod error;
mod future;
mod header;
mod info;
mod layer;
mod of;
#[cfg(feature = "tls")]
mod of_tls;
mod parse;
mod service;
mod ssl;
mod tlv;
mod trust;
mod unix;
mod upgrade;
mod v1;
mod v2;

pub use error::{EncodeError, HEALTH_CHECK, ProxyProtocolError, REJECTED, TIMEOUT};
pub use future::ProxyProtocolFuture;
pub use header::{Command, Header, SocketKind, Version};
pub use info::ProxyInfo;
pub use layer::{Mode, ProxyProtocolLayer, Untrusted};
pub use parse::{Parsed, parse};
pub use reagent::PrefixedIo;
pub use service::ProxyProtocol;
pub use ssl::Ssl;
pub use tlv::Tlv;

use addresses::Addresses;
use error::UNTRUSTED;
use layer::Config;
