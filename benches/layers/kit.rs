//! A certificate, and the TLS configurations of servers and clients.

use reagent::BoxError;
use reagent_layers::tls::{
    TlsLayer,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        client::Resumption,
        crypto::ring,
        pki_types::{PrivateKeyDer, ServerName},
    },
};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

#[derive(Clone)]
pub struct Kit {
    /// The layer and the baseline, with the same configuration.
    pub layer: TlsLayer,
    pub acceptor: TlsAcceptor,
    /// Clients that do a full handshake every time, and clients that resume sessions.
    pub full: Arc<ClientConfig>,
    pub resuming: Arc<ClientConfig>,
    pub name: ServerName<'static>,
}

impl Kit {
    pub fn new() -> Result<Kit, BoxError> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let provider = Arc::new(ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        let server = Arc::new(server);
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let resuming = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut full = resuming.clone();
        full.resumption = Resumption::disabled();
        Ok(Kit {
            layer: TlsLayer::from_config(server.clone()),
            acceptor: TlsAcceptor::from(server),
            full: Arc::new(full),
            resuming: Arc::new(resuming),
            name: "localhost".try_into()?,
        })
    }
}
