//! Errors of the files and names that a TLS layer is made of.

use reagent::BoxError;
use std::{error::Error, fmt, io, path::PathBuf};
use tokio_rustls::rustls;

/// The error of a file or name that a [`TlsLayer`](super::TlsLayer) cannot be made of.
///
/// It names the file and shows nothing of what is in it. `{:?}` prints the message, since that is
/// what the user of a program sees when `main` returns the error.
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file could not be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A section of a file is damaged, or of a kind that is not used here.
    Pem {
        /// The file.
        path: PathBuf,
        /// The number of the section, from 1.
        section: usize,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no certificate in a file that should have one.
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// What is in a file is no certificate that can be used.
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// The number of its section, from 1.
        section: usize,
        /// The line where the section begins, from 1.
        line: usize,
        /// What rustls said.
        source: rustls::Error,
    },
    /// There is no private key in a file that should have one.
    NoKey {
        /// The file.
        path: PathBuf,
        /// Whether there is one that a password protects.
        encrypted: bool,
    },
    /// What is in a file is no private key that can be used.
    BadKey {
        /// The file.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// A key belongs to another certificate.
    KeyMismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// A certificate is not for the name that it was given for.
    WrongName {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The name.
        name: String,
    },
    /// A name is no host name, and no wildcard of one.
    Name {
        /// As it was given.
        name: String,
    },
    /// There was no certificate to serve with.
    NothingToServe,
    /// The key of an authority for client certificates is of a kind or size whose signatures cannot be
    /// checked, so that none of its clients could be admitted.
    UncheckableAuthority {
        /// The file.
        path: PathBuf,
        /// The number of its section, from 1.
        section: usize,
        /// The line where the section begins, from 1.
        line: usize,
    },
    /// The authorities for client certificates cannot be used.
    ClientAuthority {
        /// The file.
        path: PathBuf,
        /// What rustls said.
        source: BoxError,
    },
    /// The layer was made of a `ServerConfig`, so there are no files to load again.
    NoFiles,
    /// rustls cannot make a configuration of it.
    Config(rustls::Error),
}

impl fmt::Display for TlsConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use TlsConfigError::*;
        match self {
            Read { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            Pem {
                path,
                section,
                line,
                reason,
            } => write!(
                f,
                "section {section} of {} cannot be used, at line {line}: {reason}",
                path.display()
            ),
            NoCertificate { path } => write!(
                f,
                "there is no certificate in {}; it should have a PEM section CERTIFICATE",
                path.display()
            ),
            BadCertificate {
                path,
                section,
                line,
                source,
            } => write!(
                f,
                "the certificate in {} cannot be used (section {section}, line {line}): {source}",
                path.display()
            ),
            NoKey {
                path,
                encrypted: false,
            } => write!(
                f,
                "there is no private key in {}; it should have a PEM section PRIVATE KEY",
                path.display()
            ),
            NoKey { path, .. } => write!(
                f,
                "the private key in {} is encrypted; decrypt it with `openssl pkey`",
                path.display()
            ),
            BadKey { path, source } => write!(
                f,
                "the private key in {} cannot be used: {source}; expected RSA of 2048 to 4096 bits, \
                 ECDSA with P-256 or P-384, or Ed25519",
                path.display()
            ),
            KeyMismatch { certificate, key } => write!(
                f,
                "the private key in {} does not belong to the certificate in {}",
                key.display(),
                certificate.display()
            ),
            WrongName { certificate, name } => write!(
                f,
                "the certificate in {} is not for {name}",
                certificate.display()
            ),
            Name { name } => write!(
                f,
                "{name:?} is no server name; give a host name, or `*.` and a host name"
            ),
            NothingToServe => f.write_str("there is no certificate to serve with; give one"),
            UncheckableAuthority {
                path,
                section,
                line,
            } => write!(
                f,
                "the authority in {} cannot be used (section {section}, line {line}): signatures by \
                 its key cannot be checked; expected RSA of 2048 to 8192 bits, ECDSA with P-256 or \
                 P-384, or Ed25519",
                path.display()
            ),
            ClientAuthority { path, source } => write!(
                f,
                "the authorities for client certificates in {} cannot be used: {source}",
                path.display()
            ),
            NoFiles => f.write_str(
                "there are no files to load again, since the layer was made of a `ServerConfig`; \
                 replace that",
            ),
            Config(source) => write!(f, "cannot set TLS up: {source}"),
        }
    }
}

impl fmt::Debug for TlsConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for TlsConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            TlsConfigError::Read { source, .. } => Some(source),
            TlsConfigError::BadCertificate { source, .. }
            | TlsConfigError::BadKey { source, .. }
            | TlsConfigError::Config(source) => Some(source),
            TlsConfigError::ClientAuthority { source, .. } => Some(&**source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_that_main_returns_is_its_message() {
        let error = TlsConfigError::Read {
            path: "/etc/cert.pem".into(),
            source: io::ErrorKind::NotFound.into(),
        };
        assert_eq!(
            format!("Error: {error:?}"),
            "Error: cannot read /etc/cert.pem: entity not found"
        );
    }
}
