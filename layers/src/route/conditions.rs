//! Conditions to route connections by.

use crate::sniff::{Protocol, Sniffed};
use reagent::{Addr, Connection, IoStream};
use std::{collections::HashSet, sync::Arc};

/// Matches clients that speak `protocol`, as detected by a [`SniffLayer`](crate::sniff::SniffLayer)
/// further out.
pub fn protocol<Io: 'static>(
    protocol: Protocol,
) -> impl Fn(&Connection<Io>) -> bool + Clone + Send + Sync + 'static {
    move |conn| {
        let sniffed = conn.extensions().get::<Sniffed>();
        sniffed.is_some_and(|sniffed| *sniffed.protocol() == protocol)
    }
}

/// Matches TLS clients that offer `protocol` (ALPN, RFC 7301), possibly among others, as detected
/// by a [`SniffLayer`](crate::sniff::SniffLayer) further out. Examples are `h2`, `http/1.1` and
/// `acme-tls/1`.
pub fn offers<Io: 'static>(
    protocol: impl AsRef<[u8]>,
) -> impl Fn(&Connection<Io>) -> bool + Clone + Send + Sync + 'static {
    let protocol: Box<[u8]> = protocol.as_ref().into();
    move |conn| {
        let sniffed = conn.extensions().get::<Sniffed>();
        sniffed.is_some_and(|sniffed| sniffed.alpn().any(|offered| *offered == *protocol))
    }
}

/// Matches TLS clients with one of these JA4 fingerprints, as computed by a
/// [`SniffLayer`](crate::sniff::SniffLayer) further out with
/// [`ja4`](crate::sniff::SniffLayer::ja4).
///
/// A fingerprint such as `t13d1516h2_8daaf6152771_e5627efa2ab1` is compared as a whole. For a part of
/// it, use a condition of your own with [`Sniffed::ja4`].
pub fn ja4<Io: 'static>(
    fingerprints: impl IntoIterator<Item: Into<Box<str>>>,
) -> impl Fn(&Connection<Io>) -> bool + Clone + Send + Sync + 'static {
    let fingerprints: HashSet<Box<str>> = fingerprints.into_iter().map(Into::into).collect();
    let fingerprints = Arc::new(fingerprints);
    move |conn| {
        let sniffed = conn.extensions().get::<Sniffed>();
        let ja4 = sniffed.and_then(Sniffed::ja4);
        ja4.is_some_and(|ja4| fingerprints.contains(ja4))
    }
}

/// Matches clients with which TLS, further out, has negotiated `protocol` (ALPN, RFC 7301).
pub fn negotiated<Io: 'static>(
    protocol: impl AsRef<[u8]>,
) -> impl Fn(&Connection<Io>) -> bool + Clone + Send + Sync + 'static {
    let protocol: Box<[u8]> = protocol.as_ref().into();
    move |conn| conn.negotiated_protocol() == Some(&*protocol)
}

/// Matches clients that connected to `addr`.
///
/// If a PROXY header named a destination, `addr` is compared with that.
pub fn local_addr<Io: IoStream>(
    addr: impl Into<Addr>,
) -> impl Fn(&Connection<Io>) -> bool + Clone + Send + Sync + 'static {
    let addr = addr.into();
    move |conn| conn.local_addr().is_ok_and(|local| local == addr)
}

/// Matches clients that connected to the TCP port `port`.
///
/// If a PROXY header named a destination, `port` is compared with that.
pub fn local_port<Io: IoStream>(
    port: u16,
) -> impl Fn(&Connection<Io>) -> bool + Clone + Send + Sync + 'static {
    move |conn| {
        conn.local_addr()
            .is_ok_and(|local| local.port() == Some(port))
    }
}
