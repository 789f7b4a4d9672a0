//! Certificates that are chosen by the program, and challenges of ACME.

use super::{ServedCertificate, TlsBuilder, source::Current};
use std::{fmt, sync::Arc};
use tokio_rustls::rustls::{
    Error, ServerConfig,
    server::{ClientHello, NoServerSessionStorage},
    sign::{CertifiedKey, SingleCertAndKey},
};

/// The reason of a [`Rejected`](reagent::Rejected) connection by which a certificate authority has
/// validated a name. It ends after its handshake.
pub const ACME_CHALLENGE: &str = "acme challenge";

/// The protocol (ALPN) of a challenge: RFC 8737, section 6.2.
const ACME_PROTOCOL: &[u8] = b"acme-tls/1";

/// Chooses certificates at run time, for clients of a [`TlsLayer`](super::TlsLayer).
///
/// Every method is called while a handshake is in progress and must return at once.
/// [`TlsBuilder::resolver`] has an example.
pub trait CertificateResolver: Send + Sync + 'static {
    /// Returns the certificate for a client, or `None` if there is none for the name that it asks
    /// for.
    fn resolve(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>>;

    /// Returns the certificate that answers the challenge `tls-alpn-01` (RFC 8737) for `name`, or
    /// `None` if no challenge for it is pending. By default, there are no challenges.
    ///
    /// It is called for clients that offer the protocol `acme-tls/1` and no other. Their
    /// connections end after the handshake, whatever is returned.
    fn challenge(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let _ = name;
        None
    }

    /// Returns the certificates that are served, for
    /// [`TlsReloader::certificates`](super::TlsReloader::certificates). By default, the list is
    /// empty.
    fn certificates(&self) -> Vec<ServedCertificate> {
        Vec::new()
    }
}

impl TlsBuilder {
    /// Sets a resolver for clients whose name has no certificate of its own.
    ///
    /// A certificate that was added [for a name](Self::certificate_for) takes precedence over the
    /// resolver, and the resolver over the default [`certificate`](Self::certificate), except for
    /// clients that ask for no name: they receive the default, if there is one.
    ///
    /// # Example
    ///
    /// ```
    /// use reagent_layers::tls::{
    ///     CertificateResolver, TlsLayer,
    ///     rustls::{server::ClientHello, sign::CertifiedKey},
    /// };
    /// use std::{collections::HashMap, sync::Arc};
    ///
    /// struct ByName(HashMap<String, Arc<CertifiedKey>>);
    ///
    /// impl CertificateResolver for ByName {
    ///     fn resolve(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
    ///         self.0.get(hello.server_name()?).cloned()
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let certificates = HashMap::new();
    /// let layer = TlsLayer::builder().resolver(ByName(certificates)).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn resolver(mut self, resolver: impl CertificateResolver) -> Self {
        self.source.resolver = Some(Resolver(Arc::new(resolver)));
        self
    }
}

#[derive(Clone)]
pub(super) struct Resolver(Arc<dyn CertificateResolver>);

impl Resolver {
    pub(super) fn resolve(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.resolve(hello)
    }

    pub(super) fn certificates(&self) -> Vec<ServedCertificate> {
        self.0.certificates()
    }
}

/// What to do with a connection by which a name is validated.
pub(super) enum Challenge {
    /// Answer it by this configuration.
    Answer(Arc<ServerConfig>),
    /// No challenge is pending for the name.
    Unknown,
}

impl Current {
    /// Returns how to answer the challenge of this client, if it is one and there is a resolver.
    pub(super) fn challenge(&self, hello: &ClientHello<'_>) -> Option<Challenge> {
        let Resolver(resolver) = self.certificates.as_ref()?.resolver()?;
        let mut protocols = hello.alpn()?;
        if protocols.next() != Some(ACME_PROTOCOL) || protocols.next().is_some() {
            return None;
        }
        let key = hello
            .server_name()
            .and_then(|name| resolver.challenge(name));
        let config = key.and_then(|key| self.config_for(key).ok());
        Some(config.map_or(Challenge::Unknown, Challenge::Answer))
    }

    /// Returns a configuration without everything that the layer may ask of its clients.
    fn config_for(&self, key: Arc<CertifiedKey>) -> Result<Arc<ServerConfig>, Error> {
        let mut config = ServerConfig::builder_with_provider(self.config.crypto_provider().clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from((*key).clone())));
        config.alpn_protocols = vec![ACME_PROTOCOL.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}
