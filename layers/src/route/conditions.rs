//! The conditions that connections are routed by.

use crate::sniff::{Protocol, Sniffed};
use reagent::{Addr, Connection, IoStream};

/// Clients that speak this, as a [`SniffLayer`](crate::sniff::SniffLayer) found.
pub fn protocol<Io: 'static>(
    protocol: Protocol,
) -> impl Fn(&Connection<Io>) -> bool + Clone + Send + Sync + 'static {
    move |conn| {
        let sniffed = conn.extensions().get::<Sniffed>();
        sniffed.is_some_and(|sniffed| *sniffed.protocol() == protocol)
    }
}

/// TLS clients that offer this protocol (ALPN, RFC 7301) among others, as a
/// [`SniffLayer`](crate::sniff::SniffLayer) found: `h2`, `http/1.1`, `acme-tls/1`.
pub fn offers<Io: 'static>(
    protocol: impl AsRef<[u8]>,
) -> impl Fn(&Connection<Io>) -> bool + Clone + Send + Sync + 'static {
    let protocol: Box<[u8]> = protocol.as_ref().into();
    move |conn| {
        let sniffed = conn.extensions().get::<Sniffed>();
        sniffed.is_some_and(|sniffed| sniffed.alpn().any(|offered| *offered == *protocol))
    }
}

/// Clients with whom TLS has agreed on this protocol (ALPN, RFC 7301).
pub fn negotiated<Io: 'static>(
    protocol: impl AsRef<[u8]>,
) -> impl Fn(&Connection<Io>) -> bool + Clone + Send + Sync + 'static {
    let protocol: Box<[u8]> = protocol.as_ref().into();
    move |conn| conn.negotiated_protocol() == Some(&*protocol)
}

/// Clients that have connected to this address, or to the one that a PROXY header named.
pub fn local_addr<Io: IoStream>(
    addr: impl Into<Addr>,
) -> impl Fn(&Connection<Io>) -> bool + Clone + Send + Sync + 'static {
    let addr = addr.into();
    move |conn| conn.local_addr().is_ok_and(|local| local == addr)
}

/// Clients that have connected to this TCP port, or to the one that a PROXY header named.
pub fn local_port<Io: IoStream>(
    port: u16,
) -> impl Fn(&Connection<Io>) -> bool + Clone + Send + Sync + 'static {
    move |conn| {
        conn.local_addr()
            .is_ok_and(|local| local.port() == Some(port))
    }
}
