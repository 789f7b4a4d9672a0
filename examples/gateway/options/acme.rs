//! The options of certificates that are obtained by ACME.

use super::path;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The options of certificates that are obtained by ACME.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct AcmeOptions {
    /// URL of the directory of an ACME server, from which certificates for the names in
    /// `acme-domain` are obtained, such as https://acme-v02.api.letsencrypt.org/directory. Setting
    /// it agrees to the terms of service of that server
    #[arg(long, value_name = "URL")]
    pub acme_directory: Option<String>,
    /// Folder in which the account and the certificates are kept
    #[arg(long, value_name = "DIR", value_parser = path())]
    pub acme_state: Option<PathBuf>,
    /// Certificate authorities by which the ACME server is verified, in PEM [default: those of the
    /// system]
    #[arg(long, value_name = "FILE", value_parser = path())]
    pub acme_root: Option<PathBuf>,
    /// Mail address for the ACME server
    #[arg(long, value_name = "MAIL")]
    pub acme_contact: Option<String>,
}

impl AcmeOptions {
    /// Checks that the options agree with one another. Problems name them as keys of a file.
    pub fn check(&self, has_domains: bool) -> Result<(), &'static str> {
        match (&self.acme_directory, &self.acme_state) {
            (None, None) if has_domains => {
                Err("`acme-domain` requires `acme-directory` and `acme-state`")
            }
            (None, None) if self.acme_root.is_some() => {
                Err("`acme-root` requires `acme-directory`")
            }
            (None, None) if self.acme_contact.is_some() => {
                Err("`acme-contact` requires `acme-directory`")
            }
            (Some(_), Some(_)) if !has_domains => Err("`acme-directory` requires `acme-domain`"),
            (Some(_), None) | (None, Some(_)) => {
                Err("`acme-directory` and `acme-state` require each other")
            }
            _ => Ok(()),
        }
    }

    /// Makes paths absolute. `folder` is that of the configuration file.
    pub fn complete(&mut self, folder: &Path) {
        for path in [&mut self.acme_state, &mut self.acme_root] {
            *path = path.take().map(|path| folder.join(path));
        }
    }
}
