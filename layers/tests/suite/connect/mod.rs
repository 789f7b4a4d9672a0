//! Connections to upstreams.

mod cached;
mod driver;
mod haproxy;
mod header;
mod peers;
mod places;
mod race;
mod relayed;
mod socket;
mod tls;
mod tls_reload;
mod tls_revoked;
mod unix;
