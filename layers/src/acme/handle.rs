//! The handle, which gives a layer its certificates.

use super::{
    AcmeBuilder, AcmeError, DomainStatus,
    builder::domain_names,
    shared::{Shared, Table},
    state::State,
};
use crate::tls::{
    CertificateResolver, ServedCertificate,
    rustls::{server::ClientHello, sign::CertifiedKey},
};
use std::{fmt, path::Path, sync::Arc};
use tokio::sync::watch;

/// The certificates of a set of domains. It is cheap to clone.
///
/// It is the [resolver](crate::tls::TlsBuilder::resolver) of a TLS layer. The certificates are
/// obtained and renewed by its [`Driver`](super::Driver).
#[derive(Clone)]
pub struct Acme {
    shared: Arc<Shared>,
    state: State,
    /// Ends the driver when the last clone is gone.
    alive: Arc<Alive>,
}

impl Acme {
    /// Returns a builder for the certificates of the directory server at `directory`, a URL such as
    /// `https://acme-v02.api.letsencrypt.org/directory`. They are kept in `folder`, which is
    /// created if it is missing.
    pub fn builder(directory: impl Into<String>, folder: impl AsRef<Path>) -> AcmeBuilder {
        AcmeBuilder::new(directory.into(), folder.as_ref())
    }

    pub(super) fn new(shared: Arc<Shared>, state: State) -> Self {
        let alive = Arc::new(Alive(shared.clone()));
        Acme {
            shared,
            state,
            alive,
        }
    }

    pub(super) fn alive(&self) -> &Arc<Alive> {
        &self.alive
    }

    /// Returns the state of each domain, in the order of the configuration, and its changes.
    pub fn status(&self) -> watch::Receiver<Vec<DomainStatus>> {
        self.shared.status.subscribe()
    }

    /// Replaces the domains. Certificates are obtained for those that are new, and no longer served
    /// for those that are missing; their files remain. Blocks while files are read.
    ///
    /// # Errors
    ///
    /// Returns an [`AcmeError`] if a domain is invalid, or the file of a new one cannot be used.
    /// Then nothing changes.
    pub fn set_domains<D: Into<String>>(
        &self,
        domains: impl IntoIterator<Item = D>,
    ) -> Result<(), AcmeError> {
        let domains = domain_names(domains.into_iter().map(Into::into))?;
        let known = self.shared.table();
        let table = load(&self.state, domains, Some(&known))?;
        self.shared.set_domains(&table);
        Ok(())
    }
}

/// Reads the certificates of `domains`, except for those that are known.
pub(super) fn load(
    state: &State,
    domains: Vec<String>,
    known: Option<&Table>,
) -> Result<Table, AcmeError> {
    let mut table = Table::default();
    for domain in domains {
        let known = known.and_then(|table| table.certificates.get(&domain));
        let certificate = match known {
            Some(known) => Some(known.clone()),
            None => state.certificate(&domain)?,
        };
        if let Some(certificate) = certificate {
            table.certificates.insert(domain.clone(), certificate);
        }
        table.domains.push(domain);
    }
    Ok(table)
}

impl CertificateResolver for Acme {
    fn resolve(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.shared.find(hello.server_name())
    }

    fn challenge(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.shared.challenge(name)
    }

    fn certificates(&self) -> Vec<ServedCertificate> {
        let table = self.shared.table();
        let served = table.domains.iter().filter_map(|domain| {
            let certificate = table.certificates.get(domain)?;
            let chain = &certificate.served.cert;
            Some(ServedCertificate::new(Some(domain.clone()), chain))
        });
        served.collect()
    }
}

/// Wakes the driver when it is dropped.
pub(super) struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.changed.notify_one();
    }
}

impl fmt::Debug for Acme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acme")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
