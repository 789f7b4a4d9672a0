//! What the handles, the layers and the driver share.

use super::{AcmeError, certificate::Certificate};
use arc_swap::ArcSwap;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};
use tokio::sync::{Notify, watch};
use tokio_rustls::rustls::sign::CertifiedKey;

/// The state of the certificate of one domain.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DomainStatus {
    /// The domain, in lower case.
    pub domain: String,
    /// When the certificate that is served expires. `None` if there is none yet.
    pub not_after: Option<SystemTime>,
    /// When the certificate is to be renewed. `None` if there is none yet.
    pub renew_at: Option<SystemTime>,
    /// The number of attempts that have failed since the last one that did not.
    pub failures: u32,
    /// The error of the last attempt, if it has failed.
    pub last_error: Option<Arc<AcmeError>>,
}

impl DomainStatus {
    /// Returns whether nothing has changed.
    pub(super) fn is(&self, other: &Self) -> bool {
        let facts = |status: &Self| (status.not_after, status.renew_at, status.failures);
        self.domain == other.domain && facts(self) == facts(other)
    }
}

/// The certificates by domain.
#[derive(Clone, Default)]
pub(super) struct Table {
    /// In the order of the configuration.
    pub(super) domains: Vec<String>,
    pub(super) certificates: HashMap<String, Certificate>,
}

pub(super) struct Shared {
    table: ArcSwap<Table>,
    /// The answers to the challenges that are pending, by domain.
    challenges: Mutex<HashMap<String, Arc<CertifiedKey>>>,
    pub(super) status: watch::Sender<Vec<DomainStatus>>,
    /// Wakes the driver after a change of the domains, and at the end.
    pub(super) changed: Notify,
}

impl Shared {
    pub(super) fn new(table: Table) -> Self {
        Shared {
            table: ArcSwap::from_pointee(table),
            challenges: Mutex::default(),
            status: watch::Sender::default(),
            changed: Notify::new(),
        }
    }

    pub(super) fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Replaces the domains. Those that were there keep the certificates that they have now.
    pub(super) fn set_domains(&self, new: &Table) {
        self.table.rcu(|old| {
            let mut table = new.clone();
            for (domain, certificate) in &mut table.certificates {
                if let Some(known) = old.certificates.get(domain) {
                    *certificate = known.clone();
                }
            }
            table
        });
        self.changed.notify_one();
    }

    /// Serves a certificate, if its domain has not been removed.
    pub(super) fn set_certificate(&self, domain: &str, certificate: &Certificate) {
        self.table.rcu(|old| {
            let mut table = Table::clone(old);
            if table.domains.iter().any(|known| known == domain) {
                let certificate = certificate.clone();
                table.certificates.insert(domain.to_owned(), certificate);
            }
            table
        });
    }

    /// Returns the certificate for a name in lower case, or for clients that ask for none.
    pub(super) fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        let certificate = match name {
            Some(name) => table.certificates.get(name.trim_end_matches('.'))?,
            None => {
                let mut domains = table.domains.iter();
                domains.find_map(|domain| table.certificates.get(domain))?
            }
        };
        Some(certificate.served.clone())
    }

    pub(super) fn challenge(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.challenges().get(name).cloned()
    }

    pub(super) fn set_challenge(&self, domain: &str, answer: Option<Arc<CertifiedKey>>) {
        let mut challenges = self.challenges();
        let old = match answer {
            Some(answer) => challenges.insert(domain.to_owned(), answer),
            None => challenges.remove(domain),
        };
        drop(challenges);
        drop(old);
    }

    fn challenges(&self) -> MutexGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.challenges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("domains", &self.table().domains)
            .finish_non_exhaustive()
    }
}
