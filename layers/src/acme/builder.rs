//! The settings.

use super::{
    Acme, AcmeError, Driver,
    client::{Client, parse_url},
    driver::Settings,
    handle::load,
    order::Orders,
    schedule::Backoff,
    shared::Shared,
    state::State,
};
use http::Uri;
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio_rustls::rustls::pki_types::DnsName;

/// A builder for [`Acme`] and its [`Driver`].
#[derive(Clone, Debug)]
#[must_use]
pub struct AcmeBuilder {
    directory: String,
    folder: PathBuf,
    domains: Vec<String>,
    contact: Vec<String>,
    roots: Option<PathBuf>,
    backoff: Backoff,
    orders_per_hour: u32,
}

impl AcmeBuilder {
    pub(super) fn new(directory: String, folder: &Path) -> Self {
        AcmeBuilder {
            directory,
            folder: folder.to_owned(),
            domains: Vec::new(),
            contact: Vec::new(),
            roots: None,
            backoff: Backoff {
                first: Duration::from_secs(60),
                longest: Duration::from_secs(6 * 60 * 60),
            },
            orders_per_hour: 20,
        }
    }

    /// Adds a domain, which has a certificate of its own. Clients that ask for no name receive that
    /// of the first domain that has one.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domains.push(domain.into());
        self
    }

    /// Adds an address at which the certificate authority can reach the owner of the account: a
    /// mail address, or a URL such as `mailto:admin@example.org`. By default there is none.
    pub fn contact(mut self, contact: impl Into<String>) -> Self {
        self.contact.push(contact.into());
        self
    }

    /// Sets the authorities by which the directory server is verified: the certificates in a PEM
    /// file. The default are those of the system.
    pub fn roots(mut self, file: impl AsRef<Path>) -> Self {
        self.roots = Some(file.as_ref().to_owned());
        self
    }

    /// Sets the pause after a failed attempt, which doubles after each further one, up to
    /// `longest`. The default is 1 minute, up to 6 hours.
    ///
    /// Each pause is random between half and all of that. It is longer if the directory asks for
    /// it, up to a day.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = Backoff { first, longest };
        self
    }

    /// Sets the maximum number of orders per hour, successful or not, for all domains together. The
    /// default is 20; a limit of 0 counts as 1. Domains above it wait.
    pub fn orders_per_hour(mut self, max: u32) -> Self {
        self.orders_per_hour = max;
        self
    }

    /// Checks the settings, and the files that are there, without creating any. Blocks.
    ///
    /// # Errors
    ///
    /// The same as [`build`](Self::build), except that it does not detect a folder that cannot be
    /// written to.
    pub fn check(&self) -> Result<(), AcmeError> {
        let (_, state, domains) = self.read()?;
        load(&state, domains, None).map(drop)
    }

    /// Reads the files, and creates the folder if it is missing. Spawn the driver, once. Blocks.
    ///
    /// Connects to nothing: certificates that are kept are served whether or not the directory
    /// server can be reached.
    ///
    /// # Errors
    ///
    /// Returns an [`AcmeError`] if a setting is invalid, or a file or folder cannot be used.
    pub fn build(self) -> Result<(Acme, Driver), AcmeError> {
        let (client, state, domains) = self.read()?;
        state.create()?;
        let table = load(&state, domains, None)?;
        let shared = Arc::new(Shared::new(table));
        let orders = Orders {
            client,
            state: state.clone(),
            url: self.directory,
            contact: contacts(&self.contact)?.into(),
            shared: shared.clone(),
        };
        let settings = Settings {
            backoff: self.backoff,
            orders_per_hour: self.orders_per_hour,
        };
        let acme = Acme::new(shared, state);
        let driver = Driver::new(orders, settings, Arc::downgrade(acme.alive()));
        Ok((acme, driver))
    }

    /// Checks the settings, and reads the account.
    fn read(&self) -> Result<(Client, State, Vec<String>), AcmeError> {
        let directory = self.url()?;
        let domains = domain_names(self.domains.iter().cloned())?;
        contacts(&self.contact)?;
        let client = Client::new(directory, self.roots.as_deref())?;
        let state = State::new(&self.folder, &self.directory);
        state.account()?;
        Ok((client, state, domains))
    }

    fn url(&self) -> Result<Uri, AcmeError> {
        parse_url(&self.directory).ok_or_else(|| AcmeError::Directory {
            url: self.directory.clone(),
        })
    }
}

/// Checks domains, and returns them in the form in which clients ask for them, without duplicates.
pub(super) fn domain_names(
    domains: impl Iterator<Item = String>,
) -> Result<Vec<String>, AcmeError> {
    let mut names = Vec::new();
    for domain in domains {
        let name = domain.trim_end_matches('.').to_ascii_lowercase();
        let is_address = name.parse::<IpAddr>().is_ok();
        if is_address || DnsName::try_from(&*name).is_err() {
            return Err(AcmeError::Domain { domain });
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match names.is_empty() {
        true => Err(AcmeError::NoDomain),
        false => Ok(names),
    }
}

fn contacts(contacts: &[String]) -> Result<Vec<String>, AcmeError> {
    let urls = contacts.iter().map(|contact| {
        let is_valid = !contact.contains(|c: char| c.is_whitespace() || c.is_control());
        match (contact.contains(':'), contact.contains('@')) {
            (true, _) if is_valid => Ok(contact.clone()),
            (false, true) if is_valid => Ok(format!("mailto:{contact}")),
            _ => Err(AcmeError::Contact {
                contact: contact.clone(),
            }),
        }
    });
    urls.collect()
}
