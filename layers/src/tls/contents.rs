//! The contents of the files of a configuration.

use super::{
    TlsConfigError,
    pem::{Section, sections},
};
use std::{
    collections::BTreeMap,
    fs,
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::sleep;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
};
use x509_parser::{asn1_rs::Sequence, prelude::FromDer};
use zeroize::Zeroizing;

/// The largest file that is read. A bundle of all public authorities has about 200 KB.
const LARGEST: u64 = 16 * 1024 * 1024;

/// If the contents of the files do not change within this time, they are not being written.
const SETTLED_AFTER: Duration = Duration::from_millis(50);

/// The maximum number of reads of files that keep changing.
const LOOKS: usize = 100;

/// The files as they were at one time, so that what is compared is also what is used.
pub(crate) struct Contents(BTreeMap<PathBuf, io::Result<Zeroizing<Vec<u8>>>>);

/// A certificate and its place in the file.
pub(crate) struct Entry {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) section: usize,
    pub(crate) line: usize,
}

/// Reads a whole regular file. Anything else might never end, or never return any data.
fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let too_large = || {
        let message = format!("expected at most {LARGEST} bytes");
        io::Error::new(io::ErrorKind::InvalidData, message)
    };
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return fs::read(path).map(Zeroizing::new);
    }
    if !metadata.is_file() {
        let message = "expected a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    if metadata.len() > LARGEST {
        return Err(too_large());
    }
    let mut contents = Zeroizing::new(Vec::new());
    fs::File::open(path)?
        .take(LARGEST + 1)
        .read_to_end(&mut contents)?;
    match contents.len() as u64 > LARGEST {
        true => Err(too_large()),
        false => Ok(contents),
    }
}

impl Contents {
    pub(crate) fn read<'a>(paths: impl Iterator<Item = &'a Path>) -> Self {
        Contents(paths.map(|path| (path.to_owned(), read(path))).collect())
    }

    /// Returns a hash that changes if the contents of a file change, or if it becomes readable or
    /// unreadable.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (path, contents) in &self.0 {
            path.hash(&mut hasher);
            let contents = contents.as_ref().map(|contents| &**contents);
            contents.map_err(io::Error::kind).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn sections(&self, path: &Path) -> Result<Vec<Section<'_>>, TlsConfigError> {
        sections(path, self.bytes(path)?)
    }

    fn bytes(&self, path: &Path) -> Result<&[u8], TlsConfigError> {
        let source = match self.0.get(path) {
            Some(Ok(contents)) => return Ok(contents),
            Some(Err(error)) => match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(error.kind(), error.to_string()),
            },
            None => io::ErrorKind::NotFound.into(),
        };
        Err(TlsConfigError::Read {
            path: path.to_owned(),
            source,
        })
    }

    pub(crate) fn certificates(&self, path: &Path) -> Result<Vec<Entry>, TlsConfigError> {
        let mut entries = Vec::new();
        for section in self.sections(path)? {
            entries.extend(section.certificate(path)?.map(|certificate| Entry {
                certificate,
                section: section.number,
                line: section.line,
            }));
        }
        match entries.is_empty() {
            false => Ok(entries),
            true => Err(TlsConfigError::NoCertificate {
                path: path.to_owned(),
            }),
        }
    }

    pub(crate) fn revocation_lists(
        &self,
        path: &Path,
    ) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsConfigError> {
        let mut lists = Vec::new();
        for section in self.sections(path)? {
            lists.extend(section.revocation_list(path)?);
        }
        match lists.is_empty() {
            false => Ok(lists),
            true => Err(TlsConfigError::NoRevocationList {
                path: path.to_owned(),
            }),
        }
    }

    /// Returns a successful OCSP response (RFC 6960, section 4.2.1) in DER.
    pub(super) fn ocsp_response(&self, path: &Path) -> Result<Vec<u8>, TlsConfigError> {
        let response = self.bytes(path)?;
        match is_successful(response) {
            true => Ok(response.to_vec()),
            false => Err(TlsConfigError::OcspResponse {
                path: path.to_owned(),
            }),
        }
    }

    pub(super) fn key(&self, path: &Path) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
        for section in self.sections(path)? {
            if let Some(key) = section.key(path)? {
                return Ok(key);
            }
        }
        Err(TlsConfigError::NoKey {
            path: path.to_owned(),
            encrypted: false,
        })
    }
}

/// Returns whether this is one DER sequence that begins with the status `successful`.
fn is_successful(response: &[u8]) -> bool {
    const SUCCESSFUL: [u8; 3] = [10, 1, 0];
    Sequence::from_der(response)
        .is_ok_and(|(rest, inner)| rest.is_empty() && inner.content.starts_with(&SUCCESSFUL))
}
/// Reads files once more until they have not changed for a moment: a chain that is being written is
/// not used.
pub(crate) async fn settled<F: Future<Output = Contents>>(
    mut contents: Contents,
    read: impl Fn() -> F,
) -> Contents {
    for _ in 0..LOOKS {
        sleep(SETTLED_AFTER).await;
        let before = contents.fingerprint();
        contents = read().await;
        if contents.fingerprint() == before {
            break;
        }
    }
    contents
}
