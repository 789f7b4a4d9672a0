//! One module per layer. All tests use real sockets or `MemoryListener`.

#![expect(unreachable_pub, reason = "a test binary has no outside")]

#[path = "../../../tests/suite/skipped.rs"]
mod skipped;
mod support;

#[cfg(feature = "access")]
mod access;
#[cfg(feature = "access")]
mod access_existing;
#[cfg(all(feature = "access", feature = "sniff", feature = "tls"))]
mod access_ja4;
#[cfg(feature = "access")]
mod access_restart;
#[cfg(feature = "acme")]
mod acme;
#[cfg(all(
    feature = "admin",
    feature = "limit",
    feature = "trace",
    feature = "upstream"
))]
mod admin;
#[cfg(feature = "bandwidth")]
mod bandwidth;
#[cfg(feature = "bandwidth")]
mod bandwidth_costs;
#[cfg(feature = "bandwidth")]
mod bandwidth_sharing;
#[cfg(feature = "trace")]
mod capture;
#[cfg(feature = "cluster_redis")]
mod cluster;
#[cfg(all(feature = "connect_tls", feature = "proxy_protocol", feature = "relay"))]
mod connect;
#[cfg(feature = "full")]
mod dry_run;
#[cfg(any(feature = "metrics", feature = "trace"))]
mod endings;
#[cfg(feature = "fault")]
mod fault;
#[cfg(feature = "framed")]
mod framed;
#[cfg(all(feature = "health", feature = "http"))]
mod health;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "limit")]
mod limit;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "metrics")]
mod metrics_clients;
#[cfg(feature = "metrics")]
mod metrics_counts;
#[cfg(feature = "metrics")]
mod metrics_names;
#[cfg(all(feature = "http", feature = "proxy_protocol", feature = "timeout"))]
mod opening;
#[cfg(all(
    feature = "framed",
    feature = "http",
    feature = "pressure",
    feature = "relay",
    feature = "sniff",
    feature = "tls"
))]
mod pressure;
#[cfg(feature = "proxy_protocol")]
mod proxy_protocol;
#[cfg(feature = "relay")]
mod relay;
#[cfg(feature = "relay")]
mod relay_delivery;
#[cfg(all(feature = "relay", target_os = "linux"))]
mod relay_splice;
#[cfg(all(
    feature = "access",
    feature = "bandwidth",
    feature = "limit",
    feature = "proxy_protocol"
))]
mod relayed_clients;
#[cfg(all(
    feature = "route",
    feature = "limit",
    feature = "proxy_protocol",
    feature = "tls"
))]
mod route;
#[cfg(all(
    feature = "cluster",
    feature = "http",
    feature = "limit",
    feature = "proxy_protocol",
    feature = "score",
    feature = "timeout",
    feature = "tls"
))]
mod score;
#[cfg(all(feature = "send_file", unix))]
mod send_file;
#[cfg(all(feature = "sniff", feature = "tls"))]
mod sniff;
#[cfg(any(feature = "relay", feature = "send_file"))]
mod spy;
#[cfg(feature = "full")]
mod stack;
#[cfg(all(feature = "starttls", feature = "tls"))]
mod starttls;
#[cfg(all(feature = "access", feature = "limit", feature = "route"))]
mod tarpit;
#[cfg(feature = "timeout")]
mod timeout;
#[cfg(feature = "tls")]
mod tls;
#[cfg(all(feature = "access", feature = "proxy_protocol", feature = "top"))]
mod top;
#[cfg(feature = "trace")]
mod trace;
#[cfg(feature = "trace")]
mod trace_events;
#[cfg(feature = "trace")]
mod trace_levels;
#[cfg(feature = "full")]
mod upgrade_drain;
#[cfg(feature = "upstream")]
mod upstream;
