//! The protocol of a client.

use super::hello::{self, Hello};
use std::{fmt, sync::Arc};

/// A protocol, as far as the first bytes show.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// TLS: a complete ClientHello (RFC 8446, section 4.1.2).
    Tls,
    /// HTTP/1: a method of RFC 9110, RFC 5789 (`PATCH`) or RFC 4918 (WebDAV) followed by a space,
    /// or a request line with any other method of at most 32 bytes that begins with a capital
    /// letter.
    Http1,
    /// HTTP/2, with or without TLS around it: the connection preface (RFC 9113, section 3.4).
    Http2,
    /// SSH: `SSH-` (RFC 4253, section 4.2).
    Ssh,
    /// The PROXY protocol, version 1 or 2: its signature.
    Proxy,
    /// A prefix added with [`SniffLayer::prefix`](super::SniffLayer::prefix), by its name.
    Own(Arc<str>),
    /// Any other protocol, or no data.
    Unknown,
}

impl Protocol {
    /// Returns the name: `tls`, `http/1`, `http/2`, `ssh`, `proxy`, `unknown`, or the name of an
    /// added prefix.
    pub fn as_str(&self) -> &str {
        match self {
            Protocol::Tls => "tls",
            Protocol::Http1 => "http/1",
            Protocol::Http2 => "http/2",
            Protocol::Ssh => "ssh",
            Protocol::Proxy => "proxy",
            Protocol::Own(name) => name,
            Protocol::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The result of detection, which a [`SniffLayer`](super::SniffLayer) leaves in the extensions of a
/// connection.
#[derive(Clone, PartialEq, Eq)]
pub struct Sniffed {
    protocol: Protocol,
    hello: Option<Arc<Hello>>,
}

impl Sniffed {
    pub(super) fn new(protocol: Protocol) -> Self {
        Sniffed {
            protocol,
            hello: None,
        }
    }

    pub(super) fn tls(hello: Hello) -> Self {
        Sniffed {
            protocol: Protocol::Tls,
            hello: Some(Arc::new(hello)),
        }
    }

    /// Returns the detected protocol.
    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// Returns the name that a TLS client asks for (SNI, RFC 6066), in lower case and without a
    /// trailing dot.
    ///
    /// Returns `None` if the client asks for no name, or for an IP address or anything else that is
    /// not a host name.
    pub fn server_name(&self) -> Option<&str> {
        self.hello.as_ref()?.server_name.as_deref()
    }

    /// Returns the JA4 fingerprint of a TLS client, such as `t13d1516h2_8daaf6152771_e5627efa2ab1`, if
    /// [`SniffLayer::ja4`](super::SniffLayer::ja4) is set.
    ///
    /// It is the same for all clients with the same TLS library and settings: a browser, a script, a
    /// scanner. A client can imitate that of another program. See [JA4](super#ja4).
    pub fn ja4(&self) -> Option<&str> {
        self.hello.as_ref()?.ja4.as_deref()
    }

    /// Returns the ClientHello of a TLS client, a handshake message without the records that carried
    /// it, if [`SniffLayer::keep_client_hello`](super::SniffLayer::keep_client_hello) is set.
    pub fn client_hello(&self) -> Option<&[u8]> {
        self.hello.as_ref()?.message.as_deref()
    }

    /// Returns the protocols that a TLS client offers (ALPN, RFC 7301), in the client's order.
    pub fn alpn(&self) -> impl Iterator<Item = &[u8]> {
        let list = self.hello.as_ref().map_or(&[][..], |hello| &hello.alpn);
        hello::names(list)
    }
}

impl fmt::Debug for Sniffed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alpn: Vec<_> = self.alpn().map(String::from_utf8_lossy).collect();
        f.debug_struct("Sniffed")
            .field("protocol", &self.protocol)
            .field("server_name", &self.server_name())
            .field("alpn", &alpn)
            .field("ja4", &self.ja4())
            .finish()
    }
}
