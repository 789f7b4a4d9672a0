//! Detects the protocol of a connection from the first bytes that the client sends, without
//! consuming them.
//!
//! # When to use it
//!
//! Use it when several protocols share an address: plain and encrypted clients on one port, HTTP
//! beside SSH, or TLS for server names that are served by different backends. The layer leaves a
//! [`Sniffed`] in the connection's extensions for a [`Router`](../route/struct.Router.html) or a
//! handler. If all clients of an address speak the same protocol, there is nothing to detect.
//!
//! # Position in the stack
//!
//! The layer belongs inside of limits, access rules and the PROXY protocol, so that it never waits
//! for a client that will not be admitted.
//!
//! Place it outside of TLS to see the server name and the protocols that a TLS client asks for
//! (SNI, ALPN), or inside of TLS to tell encrypted protocols apart. It can stand in both places,
//! and the result of the inner layer then replaces that of the outer one.
//!
//! **The client has to speak first.** In protocols such as SMTP, FTP or MySQL it may wait for a
//! greeting from the server. If such clients share the address, set [`Undecided::Unknown`] and a
//! short [`timeout`](SniffLayer::timeout): a client that has sent nothing by then is passed on as
//! [`Protocol::Unknown`]. See the example at [`SniffLayer::undecided`].
//!
//! **The result is a claim that any client can make**, since these bytes are neither encrypted nor
//! signed. Use it to choose the service for a client, and let that service verify the client. With
//! Encrypted ClientHello, the server name is the public one.
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use reagent_layers::sniff::{Protocol, SniffLayer, Sniffed};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .layer(SniffLayer::new().prefix("knock", b"knock knock"))
//!     .start(reagent::handle(|mut conn: Connection| async move {
//!         let sniffed = conn.extensions().get::<Sniffed>().expect("set by the layer").clone();
//!         let mut text = String::new();
//!         conn.read_to_string(&mut text).await?;
//!         let answer = format!("{} of {} bytes", sniffed.protocol(), text.len());
//!         conn.write_all(answer.as_bytes()).await
//!     }))
//!     .await?;
//!
//! for (text, expected) in [
//!     ("GET / HTTP/1.1\r\n\r\n", "http/1 of 18 bytes"),
//!     ("SSH-2.0-OpenSSH_9.9\r\n", "ssh of 21 bytes"),
//!     ("knock knock, open up!", "knock of 21 bytes"),
//!     ("hello", "unknown of 5 bytes"),
//! ] {
//!     let mut client = clients.connect().await?;
//!     client.write_all(text.as_bytes()).await?;
//!     client.shutdown().await?;
//!     let mut answer = String::new();
//!     client.read_to_string(&mut answer).await?;
//!     assert_eq!(answer, expected);
//! }
//! # assert_eq!(Protocol::Http1.to_string(), "http/1");
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! HTTP/1 is detected at once by a common method. Any other method, that is, a token (RFC 9110,
//! section 5.6.2) that begins with a capital letter, is accepted only together with the version at
//! the end of the request line. A client of another text protocol is therefore
//! [`Protocol::Unknown`] at the first byte that cannot belong to a request line, at the latest at
//! the end of its first line.
//!
//! ClientHellos are parsed by this crate, which needs only a few of their extensions. The `Acceptor`
//! of rustls can read them as well, but it fails on input that is not TLS, keeps the bytes, allows
//! 64 KiB of them and would make all of rustls a dependency of this feature. `tls-parser` needs the
//! message in one piece, so the records would have to be joined here anyway, and allocates for
//! every list. Either would save about a hundred lines.
//!
//! ## JA4
//!
//! With [`SniffLayer::ja4`], TLS clients are identified by the library and settings that they use, as
//! their ClientHello shows them ([JA4], for TLS over TCP). The fingerprint is [`Sniffed::ja4`], the
//! label `tls.client.ja4`, a field of the spans of `trace`, a rule of `access`, which refuses the
//! clients that have it, and a condition of `route`. A router can serve such clients differently:
//!
//! ```
//! # #[cfg(feature = "route")]
//! # mod example {
//! use reagent::{Connection, PrefixedIo, handle};
//! use reagent_layers::{route::{Router, ja4}, sniff::SniffLayer};
//! use tower_layer::Layer;
//!
//! # async fn serve(conn: Connection) -> std::io::Result<()> { Ok(()) }
//! # async fn serve_static(conn: Connection) -> std::io::Result<()> { Ok(()) }
//! # fn stack() -> impl reagent::ConnectionService {
//! let scanners = ja4(["t13i190800_9dc949149365_97f8aa674fd9"]);
//! let router = Router::<PrefixedIo<_>>::new()
//!     .route(scanners, handle(serve_static))
//!     .fallback(handle(serve));
//! SniffLayer::new().ja4(true).layer(router)
//! # }
//! # }
//! ```
//!
//! Do not ban the addresses of such clients without another reason. A fingerprint does not tell a
//! person from a program that uses the same library, and any program can imitate it.
//!
//! [JA4]: https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md
//!
//! # Errors
//!
//! - [`TimedOut`](reagent::TimedOut) with the kind [`TIMEOUT`] (`sniff`): the client had not sent
//!   enough within the [`timeout`](SniffLayer::timeout), 5 seconds by default. With
//!   [`Undecided::Unknown`] this is not an error.
//! - An I/O error of reading, which ends the connection as
//!   [`Disconnected`](reagent::Outcome::Disconnected) if the client reset it, and otherwise as
//!   [`Failed`](reagent::Outcome::Failed).
//!
//! A stream that ends before its protocol is known is not an error. It is passed on as
//! [`Protocol::Unknown`] with the bytes that were received.

mod detect;
mod hello;
mod ja4;
mod layer;
mod message;
mod protocol;
mod reader;
mod request_line;
mod upgrade;

pub use detect::{Detected, Detector, detect};
pub use layer::{SniffLayer, TIMEOUT, Undecided};
pub use protocol::{Protocol, Sniffed};
pub use reagent::PrefixedIo;
pub use upgrade::Sniff;

use layer::Config;
