//! The results of a handshake.

use super::{PeerName, peer::Peer};
use reagent::Connection;
use std::{fmt, sync::Arc};
use tokio_rustls::rustls::{
    CipherSuite, HandshakeKind, ProtocolVersion, ServerConnection, pki_types::CertificateDer,
    sign::CertifiedKey,
};

/// The results of a connection's TLS handshake, left in its [`extensions`](Connection::extensions).
/// It is cheap to clone.
#[derive(Clone)]
pub struct TlsInfo(Arc<Facts>);

struct Facts {
    version: ProtocolVersion,
    cipher_suite: CipherSuite,
    server_name: Option<String>,
    alpn: Option<Vec<u8>>,
    resumed: bool,
    served: Option<Arc<CertifiedKey>>,
    certificates: Vec<CertificateDer<'static>>,
    peer: Peer,
}

impl TlsInfo {
    /// Collects the results of a completed handshake.
    pub(super) fn of(session: &ServerConnection, served: Option<Arc<CertifiedKey>>) -> Self {
        let certificates: Vec<_> = session
            .peer_certificates()
            .unwrap_or_default()
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        TlsInfo(Arc::new(Facts {
            version: session
                .protocol_version()
                .unwrap_or(ProtocolVersion::Unknown(0)),
            cipher_suite: session
                .negotiated_cipher_suite()
                .map_or(CipherSuite::Unknown(0), |suite| suite.suite()),
            server_name: session.server_name().map(str::to_owned),
            alpn: session.alpn_protocol().map(<[u8]>::to_owned),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            served,
            peer: certificates
                .first()
                .map(|first| Peer::new(first))
                .unwrap_or_default(),
            certificates,
        }))
    }

    /// Makes the results available to the handler, and to observers as labels.
    pub(super) fn put_on<Io>(self, conn: &mut Connection<Io>) {
        conn.set_secure(self.alpn());
        conn.label("tls.protocol.version", self.version());
        conn.label("tls.cipher", self.cipher());
        if let Some(protocol) = self.alpn() {
            conn.label("tls.next_protocol", String::from_utf8_lossy(protocol));
        }
        if let Some(name) = self.server_name() {
            conn.label("server.address", name);
        }
        conn.extensions_mut().insert(self);
    }

    /// Returns the protocol version: `1.2` or `1.3`.
    pub fn version(&self) -> &'static str {
        match self.0.version {
            ProtocolVersion::TLSv1_2 => "1.2",
            ProtocolVersion::TLSv1_3 => "1.3",
            _ => "unknown",
        }
    }

    /// Returns the cipher suite.
    pub fn cipher_suite(&self) -> CipherSuite {
        self.0.cipher_suite
    }

    /// Returns the IANA name of the cipher suite, such as `TLS_AES_128_GCM_SHA256`.
    fn cipher(&self) -> String {
        let name = format!("{:?}", self.0.cipher_suite);
        match name.strip_prefix("TLS13_") {
            Some(rest) => format!("TLS_{rest}"),
            None => name,
        }
    }

    /// Returns the name that the client asked for (SNI), in lower case.
    pub fn server_name(&self) -> Option<&str> {
        self.0.server_name.as_deref()
    }

    /// Returns the negotiated protocol (ALPN), the same as
    /// [`negotiated_protocol`](Connection::negotiated_protocol).
    pub fn alpn(&self) -> Option<&[u8]> {
        self.0.alpn.as_deref()
    }

    /// Returns the certificate of this server for the name that the client asked for. A client that
    /// resumed a session has seen it, or an earlier one, in the full handshake.
    ///
    /// Returns `None` if the layer was made from a `ServerConfig`, which does not show its choice.
    pub fn server_certificate(&self) -> Option<&CertificateDer<'static>> {
        self.0.served.as_ref()?.cert.first()
    }

    /// Returns whether the handshake resumed an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.0.resumed
    }

    /// Returns the client's certificate chain, its own certificate first, or an empty slice if the
    /// client showed none.
    ///
    /// For a resumed session, these are the certificates of the full handshake.
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        &self.0.certificates
    }

    /// Returns the names for which the client's own certificate was issued: its subject alternative
    /// names.
    ///
    /// Base decisions on these. Each has a type, and the authority has verified it as such.
    pub fn peer_names(&self) -> &[PeerName] {
        &self.0.peer.names
    }

    /// Returns the SPIFFE ID of the client, such as `spiffe://example.org/billing`, or `None` if its own
    /// certificate is no X.509-SVID: it then names no URI, more than one, or one that begins
    /// differently.
    ///
    /// The trust domain is the part before the first `/`. Compare it as well if the authorities sign
    /// for several, since a SPIFFE ID says nothing about the authority that has signed it.
    pub fn spiffe_id(&self) -> Option<&str> {
        let mut uris = self.0.peer.names.iter().filter_map(|name| match name {
            PeerName::Uri(uri) => Some(&**uri),
            _ => None,
        });
        let (only, more) = (uris.next()?, uris.next());
        let (scheme, rest) = only.split_at_checked("spiffe://".len())?;
        // Schemes are case-insensitive, and so are host names, but an ID is written in one way only.
        (scheme == "spiffe://" && !rest.is_empty() && more.is_none()).then_some(only)
    }

    /// Returns the subject of the client's own certificate in the format of RFC 4514, such as
    /// `O=Example,CN=alice`: the last part comes first, and characters that separate parts are
    /// escaped by a backslash.
    ///
    /// To base decisions on the client's identity, prefer [`peer_names`](Self::peer_names).
    pub fn peer_subject(&self) -> Option<&str> {
        self.0.peer.subject.as_deref()
    }

    /// Returns the common name in the subject of the client's own certificate, or `None` if it has
    /// none or several.
    ///
    /// To base decisions on the client's identity, prefer [`peer_names`](Self::peer_names).
    pub fn peer_common_name(&self) -> Option<&str> {
        self.0.peer.common_name.as_deref()
    }
}

/// Shows only the number of certificates.
impl fmt::Debug for TlsInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsInfo")
            .field("version", &self.version())
            .field("cipher_suite", &self.cipher_suite())
            .field("server_name", &self.server_name())
            .field("alpn", &self.alpn().map(String::from_utf8_lossy))
            .field("resumed", &self.is_resumed())
            .field("peer_certificates", &self.0.certificates.len())
            .finish()
    }
}
