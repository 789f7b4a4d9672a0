//! A builder for layers with more than one certificate and key.

use super::{
    TicketKeys, TlsConfigError, TlsLayer,
    authorities::Clients,
    provider::default_provider,
    source::{Pair, Source},
    store::Store,
};
use crate::Apply;
use std::{path::Path, sync::Arc, time::Duration};
use tokio_rustls::rustls::crypto::CryptoProvider;

/// A builder that makes a [`TlsLayer`] from PEM files.
///
/// The layer accepts TLS 1.2 and 1.3 with the cipher suites of its [provider](Self::provider), and
/// sessions are resumed with tickets. For anything that the builder does not cover, use
/// [`TlsLayer::from_config`].
///
/// # Example
///
/// Two certificates by name, and a mistake that is found at once:
///
/// ```
/// use reagent_layers::tls::{TlsConfigError, TlsLayer};
/// use std::fs;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = std::env::temp_dir().join(format!("reagent-tls-builder-{}", std::process::id()));
/// # fs::create_dir_all(&dir)?;
/// # let [www, www_key, api, api_key] =
/// #     ["www.pem", "www.key", "api.pem", "api.key"].map(|file| dir.join(file));
/// # let www_made = rcgen::generate_simple_self_signed(["www.example.org".to_owned()])?;
/// # let api_made = rcgen::generate_simple_self_signed(["api.example.org".to_owned()])?;
/// # for (made, cert, key) in [(www_made, &www, &www_key), (api_made, &api, &api_key)] {
/// #     fs::write(cert, made.cert.pem())?;
/// #     fs::write(key, made.signing_key.serialize_pem())?;
/// # }
/// let builder = TlsLayer::builder()
///     .certificate(&www, &www_key)
///     .certificate_for("api.example.org", &api, &api_key)
///     .alpn(["h2", "http/1.1"]);
/// let layer = builder.clone().build()?;
/// assert_eq!(layer.reloader().certificates().len(), 2);
///
/// let error = builder
///     .certificate_for("mail.example.org", &api, &api_key)
///     .build()
///     .unwrap_err();
/// assert!(matches!(error, TlsConfigError::WrongName { name, .. } if name == "mail.example.org"));
/// # fs::remove_dir_all(&dir)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct TlsBuilder {
    pub(super) source: Source,
    ticket_keys: Option<TicketKeys>,
    /// Whether the certificate that was added last is the default.
    pub(super) adds_default_last: bool,
}

impl TlsBuilder {
    /// Sets the default certificate, for clients that ask for a name without its own certificate,
    /// or for no name. Without a default, such clients are refused.
    ///
    /// The certificate file contains the chain, the server's own certificate first.
    pub fn certificate(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.source.default = Some(Pair::new(certificate, key));
        self.adds_default_last = true;
        self
    }

    /// Adds a certificate for clients that ask for `name` (SNI): a host name, or `*.` and a host
    /// name, which matches any name with exactly one more label.
    ///
    /// The certificate must be valid for `name`. If a name is added twice, the later certificate is
    /// used.
    pub fn certificate_for(
        mut self,
        name: impl Into<String>,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Self {
        self.source
            .named
            .push((name.into(), Pair::new(certificate, key)));
        self.adds_default_last = false;
        self
    }

    /// Sets the protocols to negotiate (ALPN, RFC 7301) in order of preference, such as
    /// `["h2", "http/1.1"]`.
    ///
    /// A client that offers protocols, but none of these, is refused. By default no protocols are
    /// set, and the client's offer is ignored.
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.source.alpn = protocols
            .into_iter()
            .map(|protocol| protocol.as_ref().to_owned())
            .collect();
        self
    }

    /// Sets the cryptography provider of rustls, for handshakes, keys and session tickets. The
    /// default is the one that the process has [installed](CryptoProvider::install_default), and
    /// otherwise ring.
    ///
    /// The provider decides on the cipher suites and key exchanges. aws-lc-rs has X25519MLKEM768, a
    /// key exchange that is meant to withstand quantum computers; ring does not. See
    /// [Providers](super#providers).
    pub fn provider(mut self, provider: impl Into<Arc<CryptoProvider>>) -> Self {
        self.source.provider = Some(provider.into());
        self
    }

    /// Sets how long a session can be resumed with its ticket, up to 12 hours, or `None` to disable
    /// resumption. The default is 12 hours.
    ///
    /// Some sessions end earlier, but not within 6 hours: [`TicketKeys`] are kept for 12 hours, and
    /// encrypt new tickets for the first half of that.
    ///
    /// If clients are asked for certificates, sessions are never resumed, whatever is set here:
    /// rustls does not check the certificate of a resumed client again.
    pub fn session_lifetime(mut self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.source.session_lifetime = lifetime.into().filter(|lifetime| !lifetime.is_zero());
        self
    }

    /// Sets the keys of session tickets, to share them between layers, or to hand them over to a
    /// successor of this process. By default, each layer has its own. They are not used if there are
    /// [files](Self::ticket_key_files) with keys.
    ///
    /// Share keys only between layers that may answer in each other's name: see
    /// [`TicketKeys`](TicketKeys#security).
    pub fn ticket_keys(mut self, keys: TicketKeys) -> Self {
        self.ticket_keys = Some(keys);
        self
    }

    /// Admits only clients with a certificate that is signed by one of these authorities. By
    /// default, clients are not asked for a certificate.
    ///
    /// The authorities are the certificates in a PEM file. The handler learns whose certificate it
    /// was from [`TlsInfo::peer_names`](super::TlsInfo::peer_names).
    ///
    /// # Example
    ///
    /// ```
    /// use reagent::{Connection, Server, testing::MemoryListener};
    /// use reagent_layers::tls::{PeerName, TlsInfo, TlsLayer};
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    /// # use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
    /// # use std::{fs, sync::Arc};
    /// # use tokio_rustls::{TlsConnector, rustls};
    ///
    /// async fn greet(mut conn: Connection) -> std::io::Result<()> {
    ///     let tls = conn.extensions().get::<TlsInfo>().expect("set by the layer");
    ///     let is_alice = tls.peer_names().contains(&PeerName::Email("alice@example.org".into()));
    ///     let greeting: &[u8] = if is_alice { b"hello, alice" } else { b"hello" };
    ///     conn.write_all(greeting).await?;
    ///     conn.shutdown().await
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// # let dir = std::env::temp_dir().join(format!("reagent-tls-clients-{}", std::process::id()));
    /// # fs::create_dir_all(&dir)?;
    /// # let [cert, key, ca] = ["cert.pem", "key.pem", "ca.pem"].map(|file| dir.join(file));
    /// # let mut params = CertificateParams::default();
    /// # params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    /// # let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    /// # fs::write(&ca, issuer.pem())?;
    /// # let server_key = KeyPair::generate()?;
    /// # let server = CertificateParams::new(["localhost".to_owned()])?.signed_by(&server_key, &issuer)?;
    /// # fs::write(&cert, server.pem())?;
    /// # fs::write(&key, server_key.serialize_pem())?;
    /// # let client_key = KeyPair::generate()?;
    /// # let mut params = CertificateParams::default();
    /// # params.subject_alt_names = vec![SanType::Rfc822Name("alice@example.org".try_into()?)];
    /// # let client = params.signed_by(&client_key, &issuer)?;
    /// # let mut roots = rustls::RootCertStore::empty();
    /// # roots.add(issuer.der().clone())?;
    /// # let client_key = rustls::pki_types::PrivateKeyDer::Pkcs8(client_key.serialize_der().into());
    /// # let config = rustls::ClientConfig::builder()
    /// #     .with_root_certificates(roots)
    /// #     .with_client_auth_cert(vec![client.der().clone()], client_key)?;
    /// # let connector = TlsConnector::from(Arc::new(config));
    /// # let (listener, clients) = MemoryListener::new();
    /// let layer = TlsLayer::builder()
    ///     .certificate(&cert, &key)
    ///     .require_client_certificates(&ca)
    ///     .build()?;
    /// let server = Server::new(listener).layer(layer).start(reagent::handle(greet)).await?;
    ///
    /// // `connector` has a certificate for alice@example.org, issued by `ca`.
    /// let stream = clients.connect().await?;
    /// let mut client = connector.connect("localhost".try_into()?, stream).await?;
    /// let mut greeting = String::new();
    /// client.read_to_string(&mut greeting).await?;
    /// assert_eq!(greeting, "hello, alice");
    /// # fs::remove_dir_all(&dir)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn require_client_certificates(self, authorities: impl AsRef<Path>) -> Self {
        self.clients(authorities, true)
    }

    /// Asks clients for a certificate that is signed by one of these authorities, and also admits
    /// clients without one. An invalid certificate is refused.
    pub fn request_client_certificates(self, authorities: impl AsRef<Path>) -> Self {
        self.clients(authorities, false)
    }

    /// Refuses clients whose certificate was revoked by one of these lists: the CRLs (RFC 5280) in a
    /// PEM file. They are read again at every [reload](super::TlsReloader). By default, revocation is
    /// not checked.
    ///
    /// As in nginx and OpenSSL, the file needs a list of every authority in a client's chain that has
    /// issued a certificate. If it has several lists of one authority, the newest one counts, which
    /// must not be older than its `nextUpdate`. Otherwise the client is refused.
    ///
    /// Clients must be [required](Self::require_client_certificates) or
    /// [requested](Self::request_client_certificates) to show a certificate.
    pub fn client_crls(mut self, lists: impl AsRef<Path>) -> Self {
        self.source.crls = Some(lists.as_ref().to_owned());
        self
    }

    /// Sets which connections new authorities, revocation lists and
    /// [identities](super::TlsLayer::admit) apply to. The default is [`Apply::New`].
    ///
    /// With [`Apply::Existing`], a successful [reload](super::TlsReloader) verifies the certificates
    /// of all clients with open connections again. Connections whose certificate is no longer valid,
    /// because of its authority, a revocation list or its dates, end with
    /// [`Rejected`](reagent::Rejected) and the reason
    /// [`CLIENT_CERTIFICATE`](super::CLIENT_CERTIFICATE). They are verified on Tokio's threads for
    /// blocking work, each certificate once. Connections that [`TlsLayer::admit`] no longer admits end
    /// with the reason [`IDENTITY`](super::IDENTITY): see [`TlsReloader::recheck`].
    ///
    /// [`TlsReloader::recheck`]: super::TlsReloader::recheck
    ///
    /// A configuration that was passed to [`TlsReloader::replace`](super::TlsReloader::replace)
    /// ends no connections.
    pub fn apply(mut self, apply: Apply) -> Self {
        self.source.apply = apply;
        self
    }

    fn clients(mut self, authorities: impl AsRef<Path>, required: bool) -> Self {
        self.source.clients = Some(Clients {
            authorities: authorities.as_ref().to_owned(),
            required,
        });
        self
    }

    /// Reads the files and builds the layer.
    ///
    /// # Errors
    ///
    /// Returns a [`TlsConfigError`] if a file cannot be read or used, if a certificate is not valid
    /// for its name, or if there is no certificate or no [provider](Self::provider).
    pub fn build(mut self) -> Result<TlsLayer, TlsConfigError> {
        self.source.ticket_keys = self.ticket_keys.unwrap_or_default();
        if self.source.provider.is_none() {
            self.source.provider = Some(default_provider()?);
        }
        Ok(TlsLayer::new(Store::from_source(self.source)?))
    }
}
