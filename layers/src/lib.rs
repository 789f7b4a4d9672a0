//! Layers for [`reagent`], the acceptor pool: each stands in a module of its own behind a feature
//! of the same name, and `full` turns all of them on.
//!
//! | what you want | layer | feature |
//! |---|---|---|
//! | to admit and refuse by address, and to ban | `access::AccessLayer` | `access` |
//! | HTTP/1 and HTTP/2: an axum router, a tonic server, any service of requests | `http::HttpLayer` | `http` |
//! | faults, for tests of one's own: latency, slices, resets, black holes | `fault::FaultLayer` | `fault` |
//! | limits of bytes per second and of bytes in all | `bandwidth::BandwidthLayer` | `bandwidth` |
//! | to serve a protocol of frames, by a codec and a service of requests | `framed::FramedLayer` | `framed` |
//! | limits: connections and rate of a client, rate of all, handlers at work | `limit::…Layer` | `limit` |
//! | counts, gauges and durations for Prometheus | `metrics::MetricsObserver` | `metrics` |
//! | who the client behind a proxy is, and to say so as a proxy | `proxy_protocol::ProxyProtocolLayer` | `proxy_protocol` |
//! | to carry bytes to an upstream and back | `relay::relay` | `relay` |
//! | to send connections to one of several services | `route::Router` | `route` |
//! | what a client speaks, by its first bytes | `sniff::SniffLayer` | `sniff` |
//! | time limits: first byte, idle, stalls, least rate, age | `timeout::TimeoutsLayer` | `timeout` |
//! | TLS, with certificates that change while it runs | `tls::TlsLayer` | `tls` |
//! | spans and events of connections | `trace::TraceLayer`, `trace::TraceObserver` | `trace` |
//!
//! Each module says when you want it, where in the stack it belongs, and which errors it ends a connection
//! with.
//!
//! How to write one is in the guide [`reagent::guide::layer`].
//!
//! # The order
//!
//! From the outermost, which sees a connection first, to the innermost:
//!
//! 1. `fault::FaultLayer`, which in tests stands for the network.
//! 2. `limit::AcceptRateLayer`, `limit::InFlightLayer`: they count and know nobody. They may also stand further in, but
//!    outside of what waits for bytes (6, 7).
//! 3. `proxy_protocol::ProxyProtocolLayer`: outside of all that follows, which goes by what it finds out.
//! 4. `trace::TraceLayer`, `access::AccessLayer`, `limit::PerClientLayer`, `limit::PerClientRateLayer`, in any order: outside
//!    of TLS and, but for the trace, of `sniff`, so that who is turned away costs no handshake and is not waited for.
//! 5. `bandwidth::BandwidthLayer`: here it counts what goes over the wire, and inside of TLS what is said.
//! 6. `sniff::SniffLayer`, for what a client asks for in its handshake; or inside of TLS, for what it speaks there.
//! 7. `tls::TlsLayer`.
//! 8. `timeout::TimeoutsLayer`: it may also stand further out, anywhere inside of the PROXY protocol; then a handshake
//!    is activity.
//! 9. `route::Router` or a handler. Each route may have layers of its own.
//!
//! What is left out leaves the order of the others as it is. Observers, such as those of `metrics` and `trace`, have no
//! place in it.

// On docs.rs, items show the features that they need.
#![cfg_attr(docsrs, feature(doc_cfg))]
// What libraries leave to programs.
#![warn(clippy::print_stdout, clippy::print_stderr)]

#[cfg(feature = "access")]
pub mod access;
#[cfg(feature = "bandwidth")]
pub mod bandwidth;
#[cfg(feature = "fault")]
pub mod fault;
#[cfg(feature = "framed")]
pub mod framed;
#[cfg(feature = "full")]
pub mod guide;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "limit")]
pub mod limit;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "proxy_protocol")]
pub mod proxy_protocol;
#[cfg(feature = "relay")]
pub mod relay;
#[cfg(feature = "route")]
pub mod route;
#[cfg(feature = "sniff")]
pub mod sniff;
#[cfg(feature = "timeout")]
pub mod timeout;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "trace")]
pub mod trace;

#[cfg(any(feature = "access", feature = "bandwidth", feature = "limit"))]
mod client;
#[cfg(any(
    feature = "bandwidth",
    feature = "fault",
    feature = "framed",
    feature = "http",
    feature = "proxy_protocol",
    feature = "relay",
    feature = "sniff"
))]
mod io;
#[cfg(any(
    feature = "access",
    feature = "http",
    feature = "proxy_protocol",
    feature = "route",
    feature = "sniff",
    feature = "tls"
))]
mod net;
#[cfg(any(feature = "access", feature = "limit", feature = "route"))]
mod refusal;
#[cfg(any(
    feature = "fault",
    feature = "framed",
    feature = "http",
    feature = "timeout"
))]
mod time;
#[cfg(any(feature = "http", feature = "proxy_protocol", feature = "sniff"))]
pub use io::PrefixedIo;
#[cfg(any(feature = "access", feature = "proxy_protocol"))]
pub use net::{InvalidNetwork, Network};
#[cfg(any(feature = "access", feature = "limit", feature = "route"))]
pub use refusal::Refusal;

/// Compiles the example of the package's README.
#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../README.md")]
struct Readme;
