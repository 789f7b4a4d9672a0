//! The directory in which the account and the certificates are kept.

use super::{AcmeError, certificate::Certificate, files};
use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

const ACCOUNT: &str = "account.json";

/// The state of one directory server.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// The URL of the directory server.
    url: String,
    folder: PathBuf,
}

/// An account, as it is kept.
#[derive(Deserialize, Serialize)]
pub(super) struct Account {
    pub(super) directory: String,
    pub(super) contact: Vec<String>,
    pub(super) credentials: AccountCredentials,
}

/// Keeps other processes from ordering certificates for the same state, until it is dropped.
pub(super) struct Lock(#[expect(dead_code, reason = "held")] File);

impl State {
    /// Each directory server has a folder of its own, so that the certificates of a staging server
    /// are not taken for those of the real one.
    pub(super) fn new(folder: &Path, url: &str) -> Self {
        let name = url.trim_start_matches("https://");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let name = name.replace(|c| !is_plain(c), "_");
        State {
            url: url.to_owned(),
            folder: folder.join(name.trim_matches(['.', '_'])),
        }
    }

    /// Creates the folder if it is missing, and checks that it can be written to.
    pub(super) fn create(&self) -> Result<(), AcmeError> {
        files::create_folder(&self.folder)?;
        files::open_lock(&self.folder.join("lock")).map(drop)
    }

    /// Returns a lock, or `None` if another process holds it.
    pub(super) fn lock(&self) -> Result<Option<Lock>, AcmeError> {
        let path = self.folder.join("lock");
        let file = files::open_lock(&path)?;
        Ok(files::try_lock(&file, &path)?.then(|| Lock(file)))
    }

    /// Checks that a certificate could be saved now.
    pub(super) fn check(&self, _: &Lock) -> Result<(), AcmeError> {
        files::probe(&self.folder)
    }

    /// Returns the certificate that is kept for `domain`.
    pub(super) fn certificate(&self, domain: &str) -> Result<Option<Certificate>, AcmeError> {
        let path = self.path_of(domain);
        let Some(text) = files::read(&path)? else {
            return Ok(None);
        };
        let read = Certificate::read(domain, &text);
        let certificate = read.map_err(|expected| AcmeError::Foreign {
            path,
            expected: format!(
                "a private key and a certificate for {domain}, in particular {expected}"
            ),
        })?;
        Ok(Some(certificate))
    }

    pub(super) fn save_certificate(
        &self,
        _: &Lock,
        domain: &str,
        certificate: &Certificate,
    ) -> Result<(), AcmeError> {
        files::replace(&self.path_of(domain), certificate.pem())
    }

    /// Returns the account that is kept.
    pub(super) fn account(&self) -> Result<Option<Account>, AcmeError> {
        let path = self.folder.join(ACCOUNT);
        let Some(text) = files::read(&path)? else {
            return Ok(None);
        };
        // The error of the parser could show a part of the key.
        match serde_json::from_str::<Account>(&text) {
            Ok(account) if account.directory == self.url => Ok(Some(account)),
            _ => Err(AcmeError::Foreign {
                path,
                expected: format!("an account of {}", self.url),
            }),
        }
    }

    pub(super) fn save_account(&self, _: &Lock, account: &Account) -> Result<(), AcmeError> {
        // In one piece: the memory that a growing string leaves behind is not overwritten.
        let mut text = Zeroizing::new(Vec::with_capacity(4096));
        serde_json::to_writer(&mut *text, account).map_err(AcmeError::order)?;
        let text = std::str::from_utf8(&text).map_err(AcmeError::order)?;
        files::replace(&self.folder.join(ACCOUNT), text)
    }

    fn path_of(&self, domain: &str) -> PathBuf {
        self.folder.join(format!("{domain}.pem"))
    }
}
