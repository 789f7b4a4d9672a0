//! The contents of the files of a configuration.

use super::{
    TlsConfigError,
    pem::{Section, sections},
    shared_keys::Secret,
};
use std::{
    cmp::Reverse,
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
use x509_parser::prelude::{CertificateRevocationList, FromDer};
use zeroize::Zeroizing;

/// The largest file that is read. A bundle of all public authorities has about 200 KB.
const LARGEST: u64 = 16 * 1024 * 1024;

/// If the contents of the files do not change within this time, they are not being written.
const SETTLED_AFTER: Duration = Duration::from_millis(50);

/// The maximum number of reads of files that keep changing.
const LOOKS: usize = 100;

/// The lengths of the files that nginx reads, too.
const TICKET_SECRET_LENS: [usize; 2] = [48, 80];

/// The files as they were at one time, so that what is compared is also what is used.
pub(crate) struct Contents(BTreeMap<PathBuf, io::Result<Found>>);

/// A file that could be read.
struct Found {
    bytes: Zeroizing<Vec<u8>>,
    /// Whether users other than its owner and group may read or write it. Always `false` where files
    /// have no such permissions.
    is_exposed: bool,
}

/// A certificate and its place in the file.
pub(crate) struct Entry {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) section: usize,
    pub(crate) line: usize,
}

/// Reads a whole regular file. Anything else might never end, or never return any data.
fn read(path: &Path) -> io::Result<Found> {
    let too_large = || {
        let message = format!("expected at most {LARGEST} bytes");
        io::Error::new(io::ErrorKind::InvalidData, message)
    };
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        // The error of the system, in its own words.
        fs::read(path)?;
    }
    if !metadata.is_file() {
        let message = "expected a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    if metadata.len() > LARGEST {
        return Err(too_large());
    }
    let mut bytes = Zeroizing::new(Vec::new());
    fs::File::open(path)?
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LARGEST {
        true => Err(too_large()),
        false => Ok(Found {
            bytes,
            is_exposed: is_exposed(&metadata),
        }),
    }
}

#[cfg(unix)]
fn is_exposed(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o006 != 0
}

#[cfg(not(unix))]
fn is_exposed(_: &fs::Metadata) -> bool {
    false
}

impl Contents {
    pub(crate) fn read<'a>(paths: impl Iterator<Item = &'a Path>) -> Self {
        Contents(paths.map(|path| (path.to_owned(), read(path))).collect())
    }

    /// Returns a hash that changes if the contents of a file change, or who may read it.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (path, contents) in &self.0 {
            path.hash(&mut hasher);
            let contents = contents.as_ref();
            let contents = contents.map(|found| (&**found.bytes, found.is_exposed));
            contents.map_err(io::Error::kind).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn sections(&self, path: &Path) -> Result<Vec<Section<'_>>, TlsConfigError> {
        sections(path, self.bytes(path)?)
    }

    pub(super) fn bytes(&self, path: &Path) -> Result<&[u8], TlsConfigError> {
        self.found(path).map(|found| &**found.bytes)
    }

    fn found(&self, path: &Path) -> Result<&Found, TlsConfigError> {
        let source = match self.0.get(path) {
            Some(Ok(found)) => return Ok(found),
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
        // Only the first list of an authority is looked at. The newest one has to be that one.
        lists.sort_by_key(|list| Reverse(last_update(list)));
        match lists.is_empty() {
            false => Ok(lists),
            true => Err(TlsConfigError::NoRevocationList {
                path: path.to_owned(),
            }),
        }
    }

    /// Returns what the keys of session tickets are derived from.
    pub(super) fn ticket_secret(&self, path: &Path) -> Result<Secret, TlsConfigError> {
        let found = self.found(path)?;
        let bad = |reason| TlsConfigError::TicketKey {
            path: path.to_owned(),
            reason,
        };
        if found.is_exposed {
            return Err(bad(
                "other users may read or write it; take that away with `chmod o= FILE`",
            ));
        }
        match TICKET_SECRET_LENS.contains(&found.bytes.len()) {
            true => Ok(found.bytes.clone()),
            false => Err(bad(
                "expected 80 or 48 random bytes, as from `openssl rand -out FILE 80`",
            )),
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

/// Returns when a revocation list was issued, in seconds. `None` if that cannot be read.
fn last_update(list: &CertificateRevocationListDer<'_>) -> Option<i64> {
    let (_, list) = CertificateRevocationList::from_der(list).ok()?;
    Some(list.last_update().timestamp())
}
