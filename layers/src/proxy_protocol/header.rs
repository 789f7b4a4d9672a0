//! A header: what a proxy says of the connection it relays.

use super::{Addresses, EncodeError, Ssl, Tlv, tlv::Tlvs, v1, v2};
use reagent::Addr;
use std::{fmt, net::SocketAddr};

/// The version of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
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

/// On whose behalf the proxy connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Its own: a health check.
    Local,
    /// A client's.
    Proxy,
}

/// The kind of socket by which the client came to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// TCP, or a Unix stream.
    Stream,
    /// UDP, or Unix datagrams.
    Datagram,
}

/// A header, to be sent by a proxy or received by a server.
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
    fn new(version: Version, command: Command, addresses: Addresses) -> Self {
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

    /// A header of version 1 for a client that connected from `source` to `destination`.
    ///
    /// IPv4-mapped IPv6 addresses, as a socket of both families reports them, become IPv4 ones. Where only one
    /// of the two is an IPv4 address then, it is written as a mapped one: a header has one family.
    pub fn v1(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::new(
            Version::V1,
            Command::Proxy,
            Addresses::ip(source, destination),
        )
    }

    /// A header of version 1 that names nobody: `UNKNOWN`.
    pub fn v1_unknown() -> Self {
        Self::new(Version::V1, Command::Proxy, Addresses::Unknown)
    }

    /// A header of version 2 for a client that connected from `source` to `destination`, IP addresses as with
    /// [`v1`](Self::v1) or Unix ones. Any other pair has no place in a header and is left out.
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

    /// A header of version 2 for a client of which nothing is known.
    pub fn v2_unknown() -> Self {
        Self::new(Version::V2, Command::Proxy, Addresses::Unknown)
    }

    /// A header of version 2 for a proxy that connects for itself, as for a health check.
    pub fn v2_local() -> Self {
        Self::new(Version::V2, Command::Local, Addresses::Unknown)
    }

    /// The client came by datagrams. Only version 2 says so, and only with addresses.
    pub fn datagram(mut self) -> Self {
        self.socket_kind = SocketKind::Datagram;
        self
    }

    /// Adds a TLV. Only version 2 has them.
    pub fn tlv(mut self, tlv: Tlv) -> Self {
        self.tlvs.push(tlv);
        self
    }

    /// Adds a checksum (CRC32C), which a receiver has to check. Only version 2 has it.
    pub fn checksum(mut self) -> Self {
        self.has_checksum = true;
        self
    }

    /// Pads what is shorter than `len` bytes to that length, or to the three bytes that padding takes at
    /// least. Only version 2 can.
    pub fn pad_to(mut self, len: usize) -> Self {
        self.padded_to = len;
        self
    }

    /// The bytes to send, at once and before any other.
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

    /// On whose behalf the proxy connects; always a client's in version 1.
    pub fn command(&self) -> Command {
        self.command
    }

    /// By what kind of socket the client came.
    pub fn socket_kind(&self) -> SocketKind {
        self.socket_kind
    }

    /// The client's address. `None` in a LOCAL header, and where the proxy does not know it.
    pub fn source(&self) -> Option<Addr> {
        match &self.addresses {
            Addresses::Unknown => None,
            Addresses::Ip { source, .. } => Some(Addr::Tcp(*source)),
            Addresses::Unix { source, .. } => Some(Addr::Unix(source.clone())),
        }
    }

    /// The address that the client connected to, known when [`source`](Self::source) is.
    pub fn destination(&self) -> Option<Addr> {
        match &self.addresses {
            Addresses::Unknown => None,
            Addresses::Ip { destination, .. } => Some(Addr::Tcp(*destination)),
            Addresses::Unix { destination, .. } => Some(Addr::Unix(destination.clone())),
        }
    }

    /// Returns whether it has a checksum, which was verified if the header was received.
    pub fn has_checksum(&self) -> bool {
        self.has_checksum
    }

    /// Returns the other fields, in the order of the header, without checksum and padding.
    pub fn tlvs(&self) -> &[Tlv] {
        &self.tlvs
    }

    fn find<'a, T: 'a + ?Sized>(
        &'a self,
        pick: impl Fn(&'a Tlv) -> Option<&'a T>,
    ) -> Option<&'a T> {
        self.tlvs.iter().find_map(pick)
    }

    /// The protocol agreed on with the client, such as `h2`.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.find(|tlv| match tlv {
            Tlv::Alpn(value) => Some(&value[..]),
            _ => None,
        })
    }

    /// The name of the host the client wants: with TLS, the server name (SNI).
    pub fn authority(&self) -> Option<&str> {
        self.find(|tlv| match tlv {
            Tlv::Authority(value) => Some(&value[..]),
            _ => None,
        })
    }

    /// The number that proxies gave the connection.
    pub fn unique_id(&self) -> Option<&[u8]> {
        self.find(|tlv| match tlv {
            Tlv::UniqueId(value) => Some(&value[..]),
            _ => None,
        })
    }

    /// The encryption between the client and the proxy.
    pub fn ssl(&self) -> Option<&Ssl> {
        self.find(|tlv| match tlv {
            Tlv::Ssl(ssl) => Some(ssl),
            _ => None,
        })
    }

    /// The name of the network namespace.
    pub fn netns(&self) -> Option<&str> {
        self.find(|tlv| match tlv {
            Tlv::Netns(value) => Some(&value[..]),
            _ => None,
        })
    }

    /// The value of a TLV that stayed raw, by its type: such as [`Tlv::AWS`].
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

    /// Whether it says what version 1 cannot.
    pub(super) fn has_extras(&self) -> bool {
        let plain = Header::new(Version::V1, Command::Proxy, self.addresses.clone());
        *self != plain
    }

    pub(super) fn set_parsed(&mut self, tlvs: Tlvs) {
        self.tlvs = tlvs.items;
        self.has_checksum = tlvs.is_checked;
    }
}
