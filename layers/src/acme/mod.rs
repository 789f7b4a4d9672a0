//! Obtains and renews certificates by ACME (RFC 8555), from Let's Encrypt and others.
//!
//! # When to use it
//!
//! Use it when the clients of a server reach it at port 443 of its domains, and certificates should
//! need no program beside the server. The names are validated by the challenge `tls-alpn-01` (RFC
//! 8737), which the server answers itself, by TLS at that port. If a program such as certbot writes
//! certificates to files, use [`TlsReloader::watch`](crate::tls::TlsReloader::watch) instead.
//!
//! # Position in the stack
//!
//! [`Acme`] is no layer. It is the [resolver](crate::tls::TlsBuilder::resolver) of a
//! [`TlsLayer`](crate::tls::TlsLayer). Layers outside of it must admit those who validate names:
//! they connect from several addresses that the certificate authority does not publish. So
//! `access::AccessLayer` must not restrict the port to known networks, and a `route::Router` must
//! lead clients that offer `acme-tls/1` to the TLS layer.
//!
//! # Example
//!
//! ```no_run
//! use reagent::{Connection, Server};
//! use reagent_layers::{acme::Acme, tls::TlsLayer};
//!
//! async fn serve(conn: Connection) -> std::io::Result<()> {
//!     // ...
//!     # drop(conn);
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let staging = "https://acme-staging-v02.api.letsencrypt.org/directory";
//! let (acme, driver) = Acme::builder(staging, "/var/lib/example/acme")
//!     .domain("example.org")
//!     .domain("www.example.org")
//!     .contact("admin@example.org")
//!     .build()?;
//! let tls = TlsLayer::builder().resolver(acme.clone()).alpn(["h2", "http/1.1"]).build()?;
//! let server = Server::bind("[::]:443").layer(tls).start(reagent::handle(serve)).await?;
//!
//! // Once clients are accepted, names can be validated.
//! tokio::spawn(driver);
//! let mut status = acme.status();
//! while status.changed().await.is_ok() {
//!     for domain in &*status.borrow_and_update() {
//!         match &domain.last_error {
//!             Some(error) => eprintln!("{}: {error:?}", domain.domain),
//!             None => println!("{}: valid until {:?}", domain.domain, domain.not_after),
//!         }
//!     }
//! }
//! # server.wait().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! ## Let's Encrypt
//!
//! Begin with the staging server of the example. Its certificates are signed by an authority that
//! no client trusts, but its limits are generous. Then change the URL to
//! `https://acme-v02.api.letsencrypt.org/directory`. The folder keeps both apart, so the first
//! certificates of the real server are obtained at once. Using a directory server agrees to its
//! terms of service.
//!
//! ## What is not supported
//!
//! - The challenge `http-01`, which would need a second port and a protocol that this crate serves
//!   in other ways, and `dns-01`, which needs the API of a DNS provider. Without `dns-01`, there
//!   are no certificates for wildcards.
//! - Certificates for IP addresses (RFC 8738), and servers that require an external account
//!   binding.
//! - Several machines for one domain: the validation may reach one that has not ordered the
//!   certificate. Obtain it on one of them, and let the others
//!   [watch](crate::tls::TlsReloader::watch) copies of the file. Several processes on one machine
//!   may share the folder: one of them orders a certificate, and the others use it when their own
//!   is due.
//!
//! ## Orders and renewals
//!
//! Each domain has a certificate of its own, so that one that cannot be validated does not keep the
//! others from theirs. Its key is new each time, for ECDSA with P-256. A certificate is renewed
//! after two thirds of its lifetime, or up to a thirtieth later. If the directory server suggests a
//! time (ARI, RFC 9773), that is used, unless it is in the first day or the last sixth of the
//! lifetime.
//!
//! One domain is served after the other. After a failure, a domain waits for a
//! [pause](AcmeBuilder::backoff) that doubles each time, and for as long as the directory server
//! asks for by `Retry-After`, but at most a day. The number of orders is
//! [limited](AcmeBuilder::orders_per_hour), too. The old certificate remains in use meanwhile, even
//! when it has expired, since clients can then tell what is wrong. These bounds are those of one
//! process; a server that is restarted after each failure tries again each time.
//!
//! A request takes at most 30 seconds and its answer has at most 256 KiB. An attempt takes at most
//! 10 minutes. A directory server that hangs or lies delays no connection, and a certificate that
//! does not match the domain and the key is not used.
//!
//! ## Clients without a certificate
//!
//! Until the first certificate has been obtained, clients are refused with the alert
//! `unrecognized_name`, unless the layer has a default certificate. Connections by which names are
//! validated are answered even if the layer requires certificates of clients. They end after their
//! handshake with the reason [`ACME_CHALLENGE`](crate::tls::ACME_CHALLENGE), and never reach the
//! handler.
//!
//! ## Files
//!
//! In the folder, there is one for each directory server. It has the mode 0700, and these files
//! with the mode 0600, in which they are created:
//!
//! | file | contents |
//! |---|---|
//! | `account.json` | the account and its key |
//! | `DOMAIN.pem` | the private key and the chain, which `TlsBuilder` can also read |
//! | `lock` | nothing; it is locked while certificates are ordered |
//!
//! Files are replaced as a whole, after they have reached the disk. A file with other contents, or
//! that others can read, is an error and left alone. Back up the account, but not the certificates.
//!
//! ## Monitoring
//!
//! [`Acme::status`] has the expiry, the next renewal and the last error of each domain.
//! [`TlsReloader::certificates`](crate::tls::TlsReloader::certificates) returns the certificates
//! with those of files, so they appear in the same metrics.
//!
//! # Errors
//!
//! - [`AcmeError`]: a setting or a file cannot be used, or a certificate was not issued.

mod account;
mod builder;
mod certificate;
mod client;
mod driver;
mod error;
mod files;
mod handle;
mod order;
mod schedule;
mod shared;
mod state;

pub use builder::AcmeBuilder;
pub use driver::Driver;
pub use error::AcmeError;
pub use handle::Acme;
pub use shared::DomainStatus;
