//! The files and options that a configuration is made from.

use super::{
    TicketKeys, TlsConfigError, alpn,
    authorities::Clients,
    certificates::{Certificates, certified_key},
    contents::Contents,
    key_set::KEPT_FOR,
    provider::Aead,
    resolver::Resolver,
    shared_keys::SharedKeys,
    stapled::Stapled,
    ticket_key::Use,
    tickets::{Keys, Tickets},
};
use crate::Apply;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    server::{NoClientAuth, NoServerSessionStorage, danger::ClientCertVerifier},
};

/// The files and options from which configurations are made repeatedly.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Set when the layer is built.
    pub(super) provider: Option<Arc<CryptoProvider>>,
    pub(super) default: Option<Pair>,
    pub(super) named: Vec<(String, Pair)>,
    pub(super) resolver: Option<Resolver>,
    pub(super) alpn: Vec<Vec<u8>>,
    pub(super) clients: Option<Clients>,
    /// Revocation lists for the certificates of clients.
    pub(super) crls: Option<PathBuf>,
    /// Which connections new authorities and revocation lists apply to.
    pub(super) apply: Apply,
    /// `None` disables resumption.
    pub(super) session_lifetime: Option<Duration>,
    /// Kept across configurations, so that sessions can be resumed.
    pub(super) ticket_keys: TicketKeys,
    /// Files from which the keys are derived instead, if there are any.
    pub(super) ticket_key_files: Vec<PathBuf>,
}

impl Default for Source {
    fn default() -> Self {
        Source {
            provider: None,
            default: None,
            named: Vec::new(),
            resolver: None,
            alpn: Vec::new(),
            clients: None,
            crls: None,
            apply: Apply::New,
            session_lifetime: Some(KEPT_FOR),
            ticket_keys: TicketKeys::new(),
            ticket_key_files: Vec::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// The OCSP response that is stapled to the certificate.
    pub(super) ocsp: Option<PathBuf>,
}

/// The configuration that handshakes use.
pub(super) struct Current {
    pub(super) config: Arc<ServerConfig>,
    /// `None` if the configuration was supplied by the user.
    pub(super) certificates: Option<Arc<Certificates>>,
    /// `None` if clients are not asked for certificates, or the configuration was supplied.
    pub(super) verifier: Option<Arc<dyn ClientCertVerifier>>,
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
                .flat_map(|pair| {
                    let ocsp = pair.ocsp.as_deref().into_iter();
                    ocsp.chain([&*pair.certificate, &*pair.key])
                })
                .chain(authorities)
                .chain(self.crls.as_deref())
                .chain(self.ticket_key_files.iter().map(PathBuf::as_path)),
        )
    }

    /// Makes a configuration from `contents`.
    pub(super) fn configure(&self, contents: &Contents) -> Result<Current, TlsConfigError> {
        let provider = self.provider.clone().ok_or(TlsConfigError::NoProvider)?;
        let certificates = Arc::new(self.certificates(contents, &provider)?);
        let verifier = match (&self.clients, self.crls.as_deref()) {
            (Some(clients), crls) => Some(clients.verifier(contents, &provider, crls)?),
            (None, None) => None,
            (None, Some(path)) => {
                return Err(TlsConfigError::UnusedRevocationLists {
                    path: path.to_owned(),
                });
            }
        };
        let aead = Aead::of(&provider);
        let required = verifier.clone().unwrap_or_else(|| Arc::new(NoClientAuth));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsConfigError::Config)?
            .with_client_cert_verifier(required)
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = alpn::checked(&self.alpn)?;
        // The ticket holds everything that must be known about a session, including its age.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // Read in any case, so that a mistake is found.
        let keys = self.keys(contents)?;
        match self.resumable_for() {
            None => config.send_tls13_tickets = 0,
            Some(lifetime) => {
                config.ticketer = Arc::new(Tickets::new(keys, aead, Use::Files, lifetime));
            }
        }
        Ok(Current {
            config: Arc::new(config),
            certificates: Some(certificates),
            verifier,
        })
    }

    fn keys(&self, contents: &Contents) -> Result<Keys, TlsConfigError> {
        if self.ticket_key_files.is_empty() {
            return Ok(Keys::Own(self.ticket_keys.clone()));
        }
        let files = self.ticket_key_files.iter();
        let secrets: Result<_, _> = files.map(|path| contents.ticket_secret(path)).collect();
        Ok(Keys::Shared(SharedKeys::new(secrets?)))
    }

    /// Returns the lifetime of tickets. A resumed client shows no certificate, and rustls checks
    /// neither the dates nor the authority of the one that it has shown before. If clients are
    /// asked for certificates, every handshake is therefore a full one.
    fn resumable_for(&self) -> Option<Duration> {
        match self.clients {
            None => self.session_lifetime,
            Some(_) => None,
        }
    }

    fn certificates(
        &self,
        contents: &Contents,
        provider: &CryptoProvider,
    ) -> Result<Certificates, TlsConfigError> {
        if self.default.is_none() && self.named.is_empty() && self.resolver.is_none() {
            return Err(TlsConfigError::NothingToServe);
        }
        let load = |pair: &Pair| {
            let key = certified_key(contents, &pair.certificate, &pair.key, provider)?;
            if let Some(ocsp) = &pair.ocsp {
                return Stapled::new(key, contents, ocsp);
            }
            Ok::<_, TlsConfigError>(Stapled::from(key))
        };
        let mut certificates = Certificates::new(self.resolver.clone());
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
            ocsp: None,
        }
    }
}
