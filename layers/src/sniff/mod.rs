//! Finds out what a client speaks from the first bytes it sends, and hands them on unread.
//!
//! # When to use it
//!
//! Several protocols share an address: plain and encrypted clients on one port, HTTP beside SSH, TLS for many
//! names of which each goes elsewhere. The layer leaves a [`Sniffed`] in the connection's extensions, and a
//! [`Router`](../route/struct.Router.html) or a handler goes by it. Where all clients of an address speak the
//! same, there is nothing to find out.
//!
//! # Position in the stack
//!
//! Inside of limits, access rules and the PROXY protocol, so that clients that are not admitted are not waited for; outside of
//! TLS to see what the client asks for by name and protocol (SNI, ALPN), or inside to tell protocols within it
//! apart. It can stand in both places: the inner one's findings replace the outer one's.
//!
//! **A client has to speak first.** Where it may wait for the server's greeting, as in SMTP, FTP or MySQL, say so by
//! [`Undecided::Unknown`] and a short [`timeout`](SniffLayer::timeout): a client that has said nothing by then is
//! handed on as [`Protocol::Unknown`].
//!
//! The result is a claim that anybody can make, and nothing of it is encrypted or signed. It is good for choosing
//! the service that deals with a client, and that service then has to check. With Encrypted ClientHello the name is
//! the public one.
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
//!         let sniffed = conn.extensions().get::<Sniffed>().expect("the layer's").clone();
//!         let mut said = String::new();
//!         conn.read_to_string(&mut said).await?;
//!         let answer = format!("{} of {} bytes", sniffed.protocol(), said.len());
//!         conn.write_all(answer.as_bytes()).await
//!     }))
//!     .await?;
//!
//! for (said, expected) in [
//!     ("GET / HTTP/1.1\r\n\r\n", "http/1 of 18 bytes"),
//!     ("SSH-2.0-OpenSSH_9.9\r\n", "ssh of 21 bytes"),
//!     ("knock knock, who is there?", "knock of 26 bytes"),
//!     ("hello", "unknown of 5 bytes"),
//! ] {
//!     let mut client = clients.connect().await?;
//!     client.write_all(said.as_bytes()).await?;
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
//! HTTP/1 is known by a usual method at once, and by any other token (RFC 9110, section 5.6.2) that begins with a
//! capital letter at the version in the request line. So a client of another protocol of text is [`Protocol::Unknown`] at the first byte that is in no such line,
//! which is the end of its first line at the latest.
//!
//! The parser of ClientHellos is this crate's own: of a ClientHello two extensions matter. rustls's `Acceptor`
//! reads it too, but it makes an error of what is not TLS, keeps the bytes, allows 64 KiB of them and would need
//! the whole of rustls for this; `tls-parser` wants the message in one piece, so that records would have to be
//! joined here as well, and allocates for every list in it. What would be left to them is some hundred lines.
//!
//! # Errors
//!
//! - [`TimedOut`](reagent::TimedOut) for `sniff`: the client has not said enough in time, which is 5 seconds unless
//!   [`timeout`](SniffLayer::timeout) says otherwise; not with [`Undecided::Unknown`].
//! - [`Disconnected`](reagent::Outcome::Disconnected) if the client reset the connection,
//!   [`Failed`](reagent::Outcome::Failed) with any other error of reading.
//!
//! A stream that ends too early is no error: it is handed on as [`Protocol::Unknown`], with what came of it.

mod detect;
mod hello;
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
