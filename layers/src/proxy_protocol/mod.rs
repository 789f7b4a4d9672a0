//! Learns from a proxy in front who the client is: [HAProxy's PROXY protocol][spec], versions 1 and 2.
//!
//! # When to use it
//!
//! A load balancer or proxy that relays bytes is the other end of every socket. It sends a header before the
//! client's bytes, which this layer takes off, so that `peer_addr()` is the client, for handlers as for limits,
//! access rules and logs.
//!
//! Everybody can send such a header, so say from where it is believed. Clients that come from elsewhere are
//! refused, or with [`Untrusted::PassThrough`] served as they are, without a wait. That is the way to serve both
//! kinds at one address: the specification forbids to guess, and [`Mode::Optional`], which does, is for trusted
//! senders while they change over. There a server that speaks first makes a client without a header, which says
//! nothing either, wait for the time limit.
//!
//! # Position in the stack
//!
//! Outermost but for limits of the sockets themselves: outside of TLS, since the header comes before the
//! handshake, and outside of whatever looks at `peer_addr()`.
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
//! A connection that a proxy makes for itself (LOCAL), which the specification wants to be served, is handed on
//! with the addresses of its socket and the label `proxy: local`, by which an observer can keep it out of its
//! logs.
//!
//! The name that the client asked its proxy for (the TLV `authority`) becomes the label `server.address`. Addresses
//! are in their canonical form, so an IPv4 client is one whatever sockets it came through. A connection of which
//! no header is expected (mode off, or [`Untrusted::PassThrough`]) is no upgrade: it is handed on as it is.
//!
//! The parser is this crate's own: the crates `ppp` and `proxy-header` check no checksum, and refuse a LOCAL header
//! for a family that is to be ignored. `proxy-header` reads no Unix addresses, takes ports with zeros in front, and of whatever begins with
//! `P` waits for 15 bytes, which in optional mode may never come; `ppp` does not read what is in the SSL TLV.
//! What would be left to them is some two hundred lines.
//!
//! # Errors
//!
//! - [`ProxyProtocolError`]: no header where one is required, or a wrong one.
//! - [`Rejected`](reagent::Rejected) for `proxy protocol`: an untrusted sender.
//! - [`Rejected`](reagent::Rejected) for `health check`: the connection ended before its first byte, as those of
//!   proxies that look whether the port is open. The handler is not called. In optional mode an orderly end is a
//!   client's that has nothing to say, and the handler is called.
//! - [`TimedOut`](reagent::TimedOut) for `proxy protocol`.
//!
//! The label `error.type` is one constant word for each: `untrusted_proxy`, or [`ProxyProtocolError::kind`].
//!
//! [spec]: https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt

mod addresses;
mod error;
mod future;
mod header;
mod info;
mod layer;
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
