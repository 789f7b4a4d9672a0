//! Certificates that are obtained by ACME.

use crate::config::Config;
use reagent::{BoxError, ErrorChain};
use reagent_layers::acme::{Acme, AcmeBuilder, AcmeError, DomainStatus, Driver};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};
use tokio::task::AbortHandle;

const FAILURES: &str = "gateway_acme_failures";

/// The certificates of all listeners that are obtained by ACME.
#[derive(Clone)]
pub struct Issuer {
    pub acme: Acme,
    work: Arc<Mutex<Work>>,
}

enum Work {
    /// The gateway does not serve yet.
    Waiting(Driver),
    Running(AbortHandle),
    /// A successor goes on with it.
    Stopped,
}

impl Issuer {
    /// Reads the files, if a listener wants certificates. Orders nothing. Blocks.
    pub fn new(config: &Config) -> Result<Option<Self>, AcmeError> {
        let Some(builder) = builder(config) else {
            return Ok(None);
        };
        let (acme, driver) = builder.build()?;
        let work = Arc::new(Mutex::new(Work::Waiting(driver)));
        Ok(Some(Issuer { acme, work }))
    }

    /// Checks the options and the files without changing anything.
    pub fn check(config: &Config) -> Result<(), AcmeError> {
        builder(config).map_or(Ok(()), |builder| builder.check())
    }

    /// Begins to order certificates: when the gateway serves the clients that validate its names.
    #[expect(
        clippy::disallowed_methods,
        reason = "the tasks of the process, which are not of a connection"
    )]
    pub fn start(&self) {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        if let Work::Waiting(driver) = std::mem::replace(&mut *work, Work::Stopped) {
            *work = Work::Running(tokio::spawn(driver).abort_handle());
            tokio::spawn(log(self.acme.clone()));
            let help = "Failed attempts to obtain the certificate since the last that did not fail";
            metrics::describe_gauge!(FAILURES, help);
        }
    }

    /// Orders no more certificates. Those that are there remain in use.
    pub fn stop(&self) {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        if let Work::Running(task) = std::mem::replace(&mut *work, Work::Stopped) {
            task.abort();
        }
    }

    /// Changes the domains to those of `config`. Blocks.
    pub fn set(&self, config: &Config) -> Result<(), AcmeError> {
        self.acme.set_domains(domains(config))
    }

    /// Updates the metrics.
    pub fn measure(&self) {
        for status in &*self.acme.status().borrow() {
            metrics::gauge!(FAILURES, "domain" => status.domain.clone()).set(status.failures);
        }
    }
}

/// Returns the domains of all listeners.
fn domains(config: &Config) -> impl Iterator<Item = &str> {
    let listeners = config.listeners.iter();
    listeners.flat_map(|listener| listener.acme_domain.iter().map(|domain| &**domain))
}

fn builder(config: &Config) -> Option<AcmeBuilder> {
    let options = &config.global.acme;
    let (Some(directory), Some(state)) = (&options.acme_directory, &options.acme_state) else {
        return None;
    };
    let mut builder = Acme::builder(directory, state);
    if let Some(root) = &options.acme_root {
        builder = builder.roots(root);
    }
    if let Some(contact) = &options.acme_contact {
        builder = builder.contact(contact);
    }
    Some(domains(config).fold(builder, AcmeBuilder::domain))
}

/// Logs certificates that were obtained, and failures.
async fn log(acme: Acme) {
    let mut status = acme.status();
    let mut known: HashMap<String, DomainStatus> = HashMap::new();
    drop(acme);
    loop {
        let now = status.borrow_and_update().clone();
        for now in now {
            let old = known.insert(now.domain.clone(), now.clone());
            let domain = &now.domain;
            match (&now.last_error, old) {
                (Some(error), old)
                    if old.as_ref().is_none_or(|old| old.failures != now.failures) =>
                {
                    let error = ErrorChain(&**error);
                    tracing::error!(%domain, %error, failures = now.failures, "no new certificate");
                }
                (None, Some(old)) if old.not_after != now.not_after => {
                    let expires = now.not_after.and_then(days).unwrap_or_default();
                    tracing::info!(%domain, expires_in_days = expires, "certificate obtained");
                }
                _ => {}
            }
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

fn days(until: SystemTime) -> Option<u64> {
    let left = until.duration_since(SystemTime::now()).ok()?;
    Some(left.as_secs() / (24 * 60 * 60))
}

/// Refuses a reload that only a restart can apply.
pub fn check_reload(issuer: Option<&Issuer>, config: &Config) -> Result<(), BoxError> {
    match issuer.is_none() && domains(config).next().is_some() {
        true => Err("the first `acme-domain` requires a restart".into()),
        false => Ok(()),
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.acme.fmt(f)
    }
}
