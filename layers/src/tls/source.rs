//! What a configuration is made of.

use super::{
    TlsConfigError,
    certificates::{Certificates, certified_key},
    pem::Contents,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    server::{
        NoClientAuth, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions,
        WebPkiClientVerifier, danger::ClientCertVerifier,
    },
};

/// Sessions that are remembered for TLS 1.2 clients without tickets: what rustls has by default.
const REMEMBERED_SESSIONS: usize = 256;

/// Files and options, from which a configuration can be made again and again.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    pub(super) default: Option<Pair>,
    pub(super) named: Vec<(String, Pair)>,
    pub(super) alpn: Vec<Vec<u8>>,
    pub(super) clients: Option<Clients>,
}

#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// From which authorities clients have certificates, and whether they must.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    pub(super) authorities: PathBuf,
    pub(super) required: bool,
}

/// What handshakes are made with.
pub(super) struct Current {
    pub(super) config: Arc<ServerConfig>,
    /// `None` if the configuration is somebody else's.
    pub(super) certificates: Option<Arc<Certificates>>,
}

/// What makes resumption work, from one configuration to the next.
///
/// A resumed client is not asked for its certificate again, so it does not outlive the authorities that
/// the certificate was checked against.
pub(super) struct Sessions {
    authorities: Vec<u8>,
    tickets: Arc<dyn ProducesTickets>,
    memory: Arc<dyn StoresServerSessions>,
}

impl Sessions {
    fn new(authorities: &[u8]) -> Result<Self, TlsConfigError> {
        Ok(Sessions {
            authorities: authorities.to_owned(),
            tickets: ring::Ticketer::new().map_err(TlsConfigError::Config)?,
            memory: ServerSessionMemoryCache::new(REMEMBERED_SESSIONS),
        })
    }
}

impl Source {
    pub(super) fn read(&self) -> Contents {
        let pairs = self
            .default
            .iter()
            .chain(self.named.iter().map(|(_, pair)| pair));
        let authorities = self.clients.iter().map(|clients| &*clients.authorities);
        Contents::read(
            pairs
                .flat_map(|pair| [&*pair.certificate, &*pair.key])
                .chain(authorities),
        )
    }

    /// The configuration of these contents; `sessions` is replaced if it cannot go on, and only on
    /// success.
    pub(super) fn configure(
        &self,
        contents: &Contents,
        sessions: &mut Option<Sessions>,
    ) -> Result<Current, TlsConfigError> {
        let provider = Arc::new(ring::default_provider());
        let certificates = Arc::new(self.certificates(contents, &provider)?);
        let authorities = match &self.clients {
            Some(clients) => contents.get(&clients.authorities)?,
            None => &[],
        };
        let verifier = match &self.clients {
            Some(clients) => clients.verifier(contents, &provider)?,
            None => Arc::new(NoClientAuth),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsConfigError::Config)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(certificates.clone());
        let kept = match sessions.take_if(|sessions| sessions.authorities == authorities) {
            Some(sessions) => sessions,
            None => Sessions::new(authorities)?,
        };
        config.alpn_protocols.clone_from(&self.alpn);
        config.ticketer = kept.tickets.clone();
        config.session_storage = kept.memory.clone();
        *sessions = Some(kept);
        Ok(Current {
            config: Arc::new(config),
            certificates: Some(certificates),
        })
    }

    fn certificates(
        &self,
        contents: &Contents,
        provider: &CryptoProvider,
    ) -> Result<Certificates, TlsConfigError> {
        if self.default.is_none() && self.named.is_empty() {
            return Err(TlsConfigError::NothingToServe);
        }
        let load =
            |Pair { certificate, key }: &Pair| certified_key(contents, certificate, key, provider);
        let mut certificates = Certificates::default();
        if let Some(pair) = &self.default {
            certificates.set_default(load(pair)?);
        }
        for (name, pair) in &self.named {
            certificates.add(name, &pair.certificate, load(pair)?)?;
        }
        Ok(certificates)
    }
}

impl Pair {
    pub(super) fn new(certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        Pair {
            certificate: certificate.as_ref().to_owned(),
            key: key.as_ref().to_owned(),
        }
    }
}

impl Clients {
    fn verifier(
        &self,
        contents: &Contents,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsConfigError> {
        let mut roots = RootCertStore::empty();
        for authority in contents.certificates(&self.authorities)? {
            roots
                .add(authority)
                .map_err(|source| TlsConfigError::BadCertificate {
                    path: self.authorities.clone(),
                    source,
                })?;
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        match self.required {
            true => verifier,
            false => verifier.allow_unauthenticated(),
        }
        .build()
        .map_err(|source| TlsConfigError::ClientAuthority {
            path: self.authorities.clone(),
            source: source.into(),
        })
    }
}
