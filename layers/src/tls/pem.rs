//! What PEM files have in them.

use super::TlsConfigError;
use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error as PemError, PemObject},
};

/// Files as they were at one time: what is compared is what is used.
pub(super) struct Contents(BTreeMap<PathBuf, io::Result<Vec<u8>>>);

impl Contents {
    pub(super) fn read<'a>(paths: impl Iterator<Item = &'a Path>) -> Self {
        Contents(
            paths
                .map(|path| (path.to_owned(), fs::read(path)))
                .collect(),
        )
    }

    /// Differs if any of them does, or can be read where it could not.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (path, contents) in &self.0 {
            path.hash(&mut hasher);
            contents.as_ref().map_err(io::Error::kind).hash(&mut hasher);
        }
        hasher.finish()
    }

    pub(super) fn get(&self, path: &Path) -> Result<&[u8], TlsConfigError> {
        let source = match self.0.get(path) {
            Some(Ok(contents)) => return Ok(contents),
            Some(Err(error)) => match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => error.kind().into(),
            },
            None => io::ErrorKind::NotFound.into(),
        };
        Err(TlsConfigError::Read {
            path: path.to_owned(),
            source,
        })
    }

    pub(super) fn certificates(
        &self,
        path: &Path,
    ) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(self.get(path)?)
            .collect::<Result<_, _>>()
            .map_err(|error| damaged(path, &error))?;
        match certificates.is_empty() {
            false => Ok(certificates),
            true => Err(TlsConfigError::NoCertificate {
                path: path.to_owned(),
            }),
        }
    }

    pub(super) fn key(&self, path: &Path) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
        let pem = self.get(path)?;
        PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
            PemError::NoItemsFound => TlsConfigError::NoKey {
                path: path.to_owned(),
                encrypted: pem
                    .windows(MARK_OF_ENCRYPTED.len())
                    .any(|window| window == MARK_OF_ENCRYPTED),
            },
            error => damaged(path, &error),
        })
    }
}

/// RFC 7468, section 11.
const MARK_OF_ENCRYPTED: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";

/// The error itself has lines of the file in it, which may be lines of a key.
fn damaged(path: &Path, error: &PemError) -> TlsConfigError {
    TlsConfigError::Pem {
        path: path.to_owned(),
        reason: match error {
            PemError::MissingSectionEnd { .. } => "a section has no end",
            PemError::IllegalSectionStart { .. } => "a section does not begin as it should",
            PemError::Base64Decode(_) => "a section is not base64",
            _ => "it is not PEM",
        },
    }
}
