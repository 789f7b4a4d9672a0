//! A header, in which a proxy describes the connection that it relays.

use super::{Addresses, EncodeError, Ssl, Tlv, tlv::Tlvs, v1, v2};
use reagent::Addr;
use std::{fmt, net::SocketAddr};

/// The version of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// Version 1, a line of text.
    V1,
    /// Version 2, a binary format.
    V2,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V1 => "v1",
            Version::V2 => "v2",
        })
    }
}

/// The party on whose behalf the proxy connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// The proxy itself, for example for a health check.
    Local,
    /// A client.
    Proxy,
}

/// The kind of socket through which the client connected to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// TCP, or a Unix stream socket.
    Stream,
    /// UDP, or a Unix datagram socket.
    Datagram,
}

/// A header, either to be sent by a proxy or received by a server.
///
/// # Example
///
/// A proxy that passes on the address of its client:
///
/// ```
/// use reagent_layers::proxy_protocol::{Header, Tlv};
/// use std::net::SocketAddr;
///
/// let client: SocketAddr = "192.0.2.1:56324".parse()?;
/// let server: SocketAddr = "192.0.2.11:443".parse()?;
/// assert_eq!(
///     Header::v1(client, server).encode()?,
///     b"PROXY TCP4 192.0.2.1 192.0.2.11 56324 443\r\n",
/// );
/// let bytes = Header::v2(client, server)
///     .tlv(Tlv::Authority("example.com".into()))
///     .checksum()
///     .encode()?;
/// assert_eq!(bytes.len(), 16 + 12 + 14 + 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    version: Version,
    command: Command,
    socket_kind: SocketKind,
    addresses: Addresses,
    tlvs: Vec<Tlv>,
    has_checksum: bool,
    padded_to: usize,
}

impl Header {
    pub(super) fn new(version: Version, command: Command, addresses: Addresses) -> Self {
        Header {
            version,
            command,
            socket_kind: SocketKind::Stream,
            addresses,
            tlvs: Vec::new(),
            has_checksum: false,
            padded_to: 0,
        }
    }

    /// Creates a header of version 1 for a client that connected from `source` to `destination`.
    ///
    /// IPv4-mapped IPv6 addresses, as reported by a dual-stack socket, are converted to IPv4. A
    /// header has one family for both addresses, so if only one of them is IPv4, it is written in
    /// its mapped form.
    pub fn v1(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::new(
            Version::V1,
            Command::Proxy,
            Addresses::ip(source, destination),
        )
    }

    /// Creates a header of version 1 without addresses: `UNKNOWN`.
    pub fn v1_unknown() -> Self {
        Self::new(Version::V1, Command::Proxy, Addresses::Unknown)
    }

    /// Creates a header of version 2 for a client that connected from `source` to `destination`.
    ///
    /// Both may be IP addresses, which are treated as in [`v1`](Self::v1), or both Unix addresses.
    /// A header cannot contain any other pair, so the addresses are left out.
    pub fn v2(source: impl Into<Addr>, destination: impl Into<Addr>) -> Self {
        let addresses = match (source.into(), destination.into()) {
            (Addr::Tcp(source), Addr::Tcp(destination)) => Addresses::ip(source, destination),
            (Addr::Unix(source), Addr::Unix(destination)) => Addresses::Unix {
                source,
                destination,
            },
            _ => Addresses::Unknown,
        };
        Self::new(Version::V2, Command::Proxy, addresses)
    }

    /// Creates a header of version 2 for a client whose address is unknown.
    pub fn v2_unknown() -> Self {
        Self::new(Version::V2, Command::Proxy, Addresses::Unknown)
    }

    /// Creates a header of version 2 for a connection that the proxy makes for itself, such as a
    /// health check.
    pub fn v2_local() -> Self {
        Self::new(Version::V2, Command::Local, Addresses::Unknown)
    }

    /// Marks the client's socket as a datagram socket. Requires version 2, and has an effect only
    /// with addresses.
    pub fn datagram(mut self) -> Self {
        self.socket_kind = SocketKind::Datagram;
        self
    }

    /// Adds a TLV. Requires version 2.
    pub fn tlv(mut self, tlv: Tlv) -> Self {
        self.tlvs.push(tlv);
        self
    }

    /// Adds a checksum (CRC32C), which receivers must verify. Requires version 2.
    pub fn checksum(mut self) -> Self {
        self.has_checksum = true;
        self
    }

    /// Pads the header to at least `len` bytes. Requires version 2.
    ///
    /// Padding takes at least 3 bytes, so a header that lacks only 1 or 2 becomes longer than
    /// `len`.
    pub fn pad_to(mut self, len: usize) -> Self {
        self.padded_to = len;
        self
    }

    /// Returns the bytes to send, in one piece and before any others.
    ///
    /// # Errors
    ///
    /// Returns an [`EncodeError`] if version 1 cannot express the header, or if a path, ID or value
    /// is too long.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        match self.version {
            Version::V1 => v1::encode(self),
            Version::V2 => v2::encode(self),
        }
    }

    /// Returns the version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the party on whose behalf the proxy connects, in version 1 always a client.
    pub fn command(&self) -> Command {
        self.command
    }

    /// Returns the kind of socket through which the client connected.
    pub fn socket_kind(&self) -> SocketKind {
        self.socket_kind
    }

    /// Returns the client's address, or `None` if the proxy connects for itself or does not know
    /// the address.
    pub fn source(&self) -> Option<Addr> {
        match &self.addresses {
            Addresses::Unknown => None,
            Addresses::Ip { source, .. } => Some(Addr::Tcp(*source)),
            Addresses::Unix { source, .. } => Some(Addr::Unix(source.clone())),
        }
    }

    /// Returns the address that the client connected to. It is known whenever
    /// [`source`](Self::source) is.
    pub fn destination(&self) -> Option<Addr> {
        match &self.addresses {
            Addresses::Unknown => None,
            Addresses::Ip { destination, .. } => Some(Addr::Tcp(*destination)),
            Addresses::Unix { destination, .. } => Some(Addr::Unix(destination.clone())),
        }
    }

    /// Returns whether the header has a checksum. In a header that was received, it has been
    /// verified.
    pub fn has_checksum(&self) -> bool {
        self.has_checksum
    }

    /// Returns the TLVs in the order of the header, without checksum and padding.
    pub fn tlvs(&self) -> &[Tlv] {
        &self.tlvs
    }

    fn find<'a, T: 'a + ?Sized>(
        &'a self,
        pick: impl Fn(&'a Tlv) -> Option<&'a T>,
    ) -> Option<&'a T> {
        self.tlvs.iter().find_map(pick)
    }

    /// Returns the protocol negotiated with the client (ALPN), such as `h2`.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.find(|tlv| match tlv {
            Tlv::Alpn(value) => Some(&value[..]),
            _ => None,
        })
    }

    /// Returns the host name that the client asked for. With TLS, this is the server name (SNI).
    pub fn authority(&self) -> Option<&str> {
        self.find(|tlv| match tlv {
            Tlv::Authority(value) => Some(&value[..]),
            _ => None,
        })
    }

    /// Returns the unique ID that proxies gave to the connection.
    pub fn unique_id(&self) -> Option<&[u8]> {
        self.find(|tlv| match tlv {
            Tlv::UniqueId(value) => Some(&value[..]),
            _ => None,
        })
    }

    /// Returns the encryption between the client and the proxy.
    pub fn ssl(&self) -> Option<&Ssl> {
        self.find(|tlv| match tlv {
            Tlv::Ssl(ssl) => Some(ssl),
            _ => None,
        })
    }

    /// Returns the name of the network namespace.
    pub fn netns(&self) -> Option<&str> {
        self.find(|tlv| match tlv {
            Tlv::Netns(value) => Some(&value[..]),
            _ => None,
        })
    }

    /// Returns the value of the first [`Tlv::Raw`] of this type, such as [`Tlv::AWS`].
    pub fn raw(&self, of: u8) -> Option<&[u8]> {
        self.find(|tlv| match tlv {
            Tlv::Raw { kind, value } if *kind == of => Some(&value[..]),
            _ => None,
        })
    }

    pub(super) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub(super) fn padded_to(&self) -> usize {
        self.padded_to
    }

    /// Returns whether the header contains anything that version 1 cannot express.
    pub(super) fn has_extras(&self) -> bool {
        let plain = Header::new(Version::V1, Command::Proxy, self.addresses.clone());
        *self != plain
    }

    pub(super) fn set_parsed(&mut self, tlvs: Tlvs) {
        self.tlvs = tlvs.items;
        self.has_checksum = tlvs.is_checked;
    }
}
