//! A layer of more than one certificate and key.

use super::{
    TlsConfigError, TlsLayer,
    authorities::Clients,
    source::{Pair, Source},
    store::Store,
};
use std::{path::Path, time::Duration};

/// Makes a [`TlsLayer`] of PEM files. What it cannot say, a `ServerConfig` can:
/// [`TlsLayer::from_config`].
///
/// TLS 1.2 and 1.3 are spoken, with the cipher suites that rustls holds safe, and sessions are resumed by
/// ticket.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct TlsBuilder {
    source: Source,
}

impl TlsBuilder {
    /// Serves with this certificate where no other is for the name that the client asks for. Without it
    /// such clients, and those that ask for no name, are refused.
    ///
    /// The certificate's file has the chain in it, the server's own first.
    pub fn certificate(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.source.default = Some(Pair::new(certificate, key));
        self
    }

    /// Serves with this certificate those who ask for `name` (SNI): a host name, or `*.` and a host name,
    /// which is any name of one label more. The certificate must be good for it. Of two for the same name
    /// the later is taken.
    pub fn certificate_for(
        mut self,
        name: impl Into<String>,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Self {
        self.source
            .named
            .push((name.into(), Pair::new(certificate, key)));
        self
    }

    /// The protocols to agree on one of (ALPN, RFC 7301), best first: `["h2", "http/1.1"]`. A client that
    /// offers protocols, and none of these, is refused. Default none, and then what it offers is of no
    /// account.
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.source.alpn = protocols
            .into_iter()
            .map(|protocol| protocol.as_ref().to_owned())
            .collect();
        self
    }

    /// Sets how long a session can be resumed by its ticket, 12 hours at most; `None` for never. Default 12
    /// hours.
    ///
    /// Where clients are asked for certificates each handshake is a full one, whatever is set here.
    pub fn session_lifetime(mut self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.source.session_lifetime = lifetime.into().filter(|lifetime| !lifetime.is_zero());
        self
    }

    /// Admits only clients that have a certificate from one of these authorities. Default: clients are not
    /// asked.
    pub fn require_client_certificates(self, authorities: impl AsRef<Path>) -> Self {
        self.clients(authorities, true)
    }

    /// Asks clients for a certificate from one of these authorities, and admits those too that have none. A
    /// bad one is still refused.
    pub fn request_client_certificates(self, authorities: impl AsRef<Path>) -> Self {
        self.clients(authorities, false)
    }

    fn clients(mut self, authorities: impl AsRef<Path>, required: bool) -> Self {
        self.source.clients = Some(Clients {
            authorities: authorities.as_ref().to_owned(),
            required,
        });
        self
    }

    /// Reads the files and makes the layer.
    pub fn build(self) -> Result<TlsLayer, TlsConfigError> {
        Ok(TlsLayer::new(Store::from_source(self.source)?))
    }
}
