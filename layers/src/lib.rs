//! Layers for [`reagent`], the acceptor pool. Each layer has its own module, behind a feature of
//! the same name. The feature `full` enables all of them.
//!
//! | purpose | layer | feature |
//! |---|---|---|
//! | admit and refuse clients by address, ban clients | [`AccessLayer`](access/struct.AccessLayer.html) | `access` |
//! | obtain and renew certificates from Let's Encrypt and others, by ACME | [`Acme`](acme/struct.Acme.html) | `acme` |
//! | show a server on a page, and change it: connections, listeners, limits, bans | [`Admin`](admin/struct.Admin.html) | `admin` |
//! | limit bytes per second and total bytes | [`BandwidthLayer`](bandwidth/struct.BandwidthLayer.html) | `bandwidth` |
//! | limit connections and rates over several instances, in Redis or Valkey | [`cluster`](cluster/index.html) | `cluster`, `cluster_redis` |
//! | connect to upstreams: names, several addresses, TLS, the PROXY header | [`Connect`](connect/struct.Connect.html) | `connect`, `connect_tls` |
//! | inject faults in tests: latency, short reads and writes, resets, black holes | [`FaultLayer`](fault/struct.FaultLayer.html) | `fault` |
//! | serve a framed protocol with a codec and a request service | [`FramedLayer`](framed/struct.FramedLayer.html) | `framed` |
//! | answer health checks: `/ready` and `/live` | [`Health`](health/struct.Health.html) | `health` |
//! | serve HTTP/1 and HTTP/2 with an axum router, a tonic server or any other request service | [`HttpLayer`](http/struct.HttpLayer.html) | `http` |
//! | limit connections and connection rate per client, the overall rate, and running handlers | [`limit`](limit/index.html) | `limit` |
//! | export counters, gauges and durations to Prometheus | [`MetricsObserver`](metrics/struct.MetricsObserver.html) | `metrics` |
//! | close idle connections and hold clients back when resources are short, adapt limits | [`Pressure`](pressure/struct.Pressure.html) | `pressure` |
//! | learn the client's address from a proxy, or send it as a proxy | [`ProxyProtocolLayer`](proxy_protocol/struct.ProxyProtocolLayer.html) | `proxy_protocol` |
//! | relay bytes to an upstream and back | [`relay`](relay/fn.relay.html) | `relay` |
//! | route connections to one of several services | [`Router`](route/struct.Router.html) | `route` |
//! | ban clients that misbehave | [`Score`](score/struct.Score.html) | `score` |
//! | send a file without copying it | [`SendFile`](send_file/trait.SendFile.html) | `send_file` |
//! | detect a client's protocol from its first bytes | [`SniffLayer`](sniff/struct.SniffLayer.html) | `sniff` |
//! | encrypt connections whose clients ask for TLS in their own protocol: PostgreSQL and LDAP | [`StartTlsLayer`](starttls/struct.StartTlsLayer.html) | `starttls` |
//! | limit times: first byte, idle, stalled reads and writes, minimum rate, age | [`TimeoutsLayer`](timeout/struct.TimeoutsLayer.html) | `timeout` |
//! | encrypt with TLS, with certificates that can change at run time | [`TlsLayer`](tls/struct.TlsLayer.html) | `tls`, `tls_no_provider` |
//! | find the clients with the most connections, bytes and refusals | [`TopClients`](top/struct.TopClients.html) | `top` |
//! | trace connections with spans and events | [`TraceLayer`](trace/struct.TraceLayer.html), [`TraceObserver`](trace/struct.TraceObserver.html) | `trace` |
//! | connect to one of several upstreams, by load or by client, with health checks | [`Upstreams`](upstream/struct.Upstreams.html) | `upstream` |
//!
//! Each module explains when to use its layer, where the layer belongs in the stack, and with which
//! errors it ends connections. To write your own layer, see the guide [`reagent::guide::layer`].
//!
//! # Example
//!
#![cfg_attr(
    all(feature = "limit", feature = "timeout", feature = "trace"),
    doc = "```"
)]
#![cfg_attr(
    not(all(feature = "limit", feature = "timeout", feature = "trace")),
    doc = "```ignore"
)]
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use reagent_layers::{
//!     limit::{PerClient, PerClientLayer},
//!     timeout::TimeoutsLayer,
//!     trace::TraceObserver,
//! };
//! use std::net::SocketAddr;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! async fn greet(mut conn: Connection) -> std::io::Result<()> {
//!     conn.write_all(b"hello").await?;
//!     conn.read_u8().await.map(drop)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .observe(TraceObserver::new())
//!     // The first layer is the outermost and sees a connection first.
//!     .layer(PerClientLayer::new(PerClient::new(1)))
//!     .layer(TimeoutsLayer::new())
//!     .start(reagent::handle(greet))
//!     .await?;
//!
//! let addr: SocketAddr = "192.0.2.1:50000".parse()?;
//! let mut first = clients.connect_from(addr).await?;
//! let mut greeting = [0; 5];
//! first.read_exact(&mut greeting).await?;
//! assert_eq!(&greeting, b"hello");
//!
//! let mut second = clients.connect_from(addr).await?;
//! assert_eq!(second.read(&mut greeting).await?, 0, "one connection per client");
//! # Ok(())
//! # }
//! ```
//!
//! # Order of layers
//!
//! From the outermost layer, which sees a connection first, to the innermost:
//!
//! 1. `fault::FaultLayer`, which takes the place of the network in tests.
//! 2. `pressure::PressureLayer`, `limit::AcceptRateLayer` and `limit::InFlightLayer`, which do not
//!    depend on the client. They may also stand further in, but outside of the layers that wait for bytes (6 and 7).
//! 3. `proxy_protocol::ProxyProtocolLayer`, outside of all layers that use the client's address.
//! 4. `trace::TraceLayer`, `access::AccessLayer`, `limit::PerClientLayer`,
//!    `limit::PerClientRateLayer` and `cluster::ClusterLayer`, in any order. They belong outside of
//!    TLS and, except for the trace, outside of `sniff`. A client that is turned away then costs no handshake, and the
//!    server does not wait for its first bytes.
//! 5. `bandwidth::BandwidthLayer`. Here it counts the bytes on the wire; inside of TLS, it counts
//!    the decrypted bytes. Inside of `timeout::TimeoutsLayer`, its waits do not count as stalls.
//! 6. `sniff::SniffLayer`, to see what a client asks for in its TLS handshake. To detect the
//!    protocol inside TLS, place it inside of `tls::TlsLayer`.
//! 7. `tls::TlsLayer` or `starttls::StartTlsLayer`.
//! 8. `timeout::TimeoutsLayer`. It may also stand further out, anywhere inside of the PROXY
//!    protocol. A TLS handshake then counts as activity.
//! 9. `route::Router` or a handler. Each route may have its own layers.
//!
//! Layers that you do not use do not change the order of the others. Observers, such as those of
//! `metrics` and `trace`, have no position in it.

// On docs.rs, items show the features that they need.
#![cfg_attr(docsrs, feature(doc_cfg))]
// Printing is for programs, not for libraries.
#![warn(clippy::print_stdout, clippy::print_stderr)]

#[cfg(feature = "access")]
pub mod access;
#[cfg(feature = "acme")]
pub mod acme;
#[cfg(feature = "admin")]
pub mod admin;
#[cfg(feature = "bandwidth")]
pub mod bandwidth;
#[cfg(feature = "cluster")]
pub mod cluster;
#[cfg(feature = "connect")]
pub mod connect;
#[cfg(feature = "fault")]
pub mod fault;
#[cfg(feature = "framed")]
pub mod framed;
#[cfg(feature = "full")]
pub mod guide;
#[cfg(feature = "health")]
pub mod health;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "limit")]
pub mod limit;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "pressure")]
pub mod pressure;
#[cfg(feature = "proxy_protocol")]
pub mod proxy_protocol;
#[cfg(feature = "relay")]
pub mod relay;
#[cfg(feature = "route")]
pub mod route;
#[cfg(feature = "score")]
pub mod score;
#[cfg(feature = "send_file")]
pub mod send_file;
#[cfg(feature = "sniff")]
pub mod sniff;
#[cfg(feature = "starttls")]
pub mod starttls;
#[cfg(feature = "timeout")]
pub mod timeout;
#[cfg(feature = "tls_no_provider")]
pub mod tls;
#[cfg(feature = "top")]
pub mod top;
#[cfg(feature = "trace")]
pub mod trace;
#[cfg(feature = "upstream")]
pub mod upstream;

#[cfg(any(feature = "access", feature = "tls_no_provider"))]
mod apply;
#[cfg(any(feature = "access", feature = "tls_no_provider"))]
mod carried;
#[cfg(any(
    feature = "access",
    feature = "bandwidth",
    feature = "cluster",
    feature = "limit",
    feature = "top",
    feature = "upstream"
))]
mod client;
#[cfg(any(
    feature = "access",
    feature = "bandwidth",
    feature = "cluster",
    feature = "framed",
    feature = "http",
    feature = "limit",
    feature = "pressure",
    feature = "timeout"
))]
mod dry_run;
#[cfg(any(
    feature = "bandwidth",
    feature = "fault",
    feature = "framed",
    feature = "proxy_protocol",
    feature = "relay",
    feature = "sniff",
    feature = "starttls"
))]
mod io;
#[cfg(any(
    feature = "access",
    feature = "connect",
    feature = "http",
    feature = "proxy_protocol",
    feature = "route",
    feature = "sniff",
    feature = "tls_no_provider",
    feature = "upstream"
))]
mod net;
#[cfg(any(feature = "metrics", feature = "top"))]
mod open_bytes;
#[cfg(any(feature = "access", feature = "tls_no_provider"))]
mod open_connections;
#[cfg(any(
    feature = "access",
    feature = "cluster",
    feature = "limit",
    feature = "pressure",
    feature = "route",
    feature = "starttls"
))]
mod refusal;
#[cfg(any(
    feature = "access",
    feature = "cluster",
    feature = "fault",
    feature = "framed",
    feature = "http",
    feature = "limit",
    feature = "pressure",
    feature = "route",
    feature = "starttls",
    feature = "timeout"
))]
mod time;
#[cfg(any(feature = "access", feature = "tls_no_provider"))]
pub use apply::Apply;
#[cfg(any(
    feature = "access",
    feature = "bandwidth",
    feature = "cluster",
    feature = "framed",
    feature = "http",
    feature = "limit",
    feature = "pressure",
    feature = "timeout"
))]
pub use dry_run::DryRun;
#[cfg(any(feature = "access", feature = "proxy_protocol"))]
pub use net::{InvalidNetwork, Network};
#[cfg(any(
    feature = "http",
    feature = "proxy_protocol",
    feature = "sniff",
    feature = "starttls"
))]
pub use reagent::PrefixedIo;
#[cfg(any(
    feature = "access",
    feature = "cluster",
    feature = "limit",
    feature = "pressure",
    feature = "route",
    feature = "starttls"
))]
pub use refusal::{Refusal, Tarpit, TarpitStats};

/// Compiles the example of the package's README.
#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../README.md")]
struct Readme;
