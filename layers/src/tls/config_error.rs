//! Errors of the files and names that a TLS layer is made from.

use reagent::{BoxError, ErrorChain};
use std::{error::Error, fmt, io, path::PathBuf};
use tokio_rustls::rustls;

/// An error in the files or names that a [`TlsLayer`](super::TlsLayer) is made from.
///
/// It names the file but shows none of its contents. The message does not repeat its
/// [`source`](Error::source): print both, as `anyhow` and `{:?}` do. `{:?}` prints them on one
/// line, since that is what the user of a program sees when `main` returns the error.
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file could not be read.
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A section of a file is damaged or of an unsupported kind.
    Pem {
        /// The file.
        path: PathBuf,
        /// The number of the section, starting at 1.
        section: usize,
        /// The line, starting at 1.
        line: usize,
        /// What is wrong, and what to do about it.
        reason: &'static str,
    },
    /// A file contains no certificate.
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in a file cannot be used.
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// The number of its section, starting at 1.
        section: usize,
        /// The line on which the section starts, counted from 1.
        line: usize,
        /// The error of rustls.
        source: rustls::Error,
    },
    /// A file contains no private key that can be read.
    NoKey {
        /// The file.
        path: PathBuf,
        /// True if there is a private key, but it is protected by a password.
        encrypted: bool,
    },
    /// A private key in a file cannot be used.
    BadKey {
        /// The file.
        path: PathBuf,
        /// The error of rustls.
        source: rustls::Error,
    },
    /// A key does not belong to its certificate.
    KeyMismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// A certificate is not valid for the name that it was added for.
    WrongName {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The name.
        name: String,
    },
    /// A name is neither a host name nor a wildcard.
    Name {
        /// The name as it was passed.
        name: String,
    },
    /// No certificate was set.
    NothingToServe,
    /// A file contains no OCSP response that can be stapled to its certificate.
    OcspResponse {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do about it.
        reason: &'static str,
    },
    /// A file with a key of session tickets cannot be used.
    TicketKey {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do about it.
        reason: &'static str,
    },
    /// There is no cryptography provider: none was set or installed, and none is compiled in.
    NoProvider,
    /// Signatures by the key of an authority cannot be verified, because of its kind or size. Every
    /// client with a certificate of that authority would be refused.
    UncheckableAuthority {
        /// The file.
        path: PathBuf,
        /// The number of its section, starting at 1.
        section: usize,
        /// The line on which the section starts, counted from 1.
        line: usize,
    },
    /// The authorities for client certificates cannot be used.
    ClientAuthority {
        /// The file.
        path: PathBuf,
        /// The error of rustls.
        source: BoxError,
    },
    /// A file contains no certificate revocation list.
    NoRevocationList {
        /// The file.
        path: PathBuf,
    },
    /// A certificate revocation list cannot be used.
    RevocationList {
        /// The file.
        path: PathBuf,
        /// The error of rustls.
        source: BoxError,
    },
    /// Revocation lists were set, but clients are not asked for certificates.
    UnusedRevocationLists {
        /// The file.
        path: PathBuf,
    },
    /// A protocol for ALPN is empty or longer than 255 bytes, or all of them take more than 8 KiB.
    Alpn {
        /// The first protocol that is not possible, or that is one too many.
        protocol: Vec<u8>,
    },
    /// The name of an upstream is neither a host name nor an IP address.
    HostName {
        /// The name as it was passed.
        name: String,
    },
    /// The authorities of upstreams cannot be used, or the system has none.
    ServerAuthority {
        /// The error of rustls or of the system.
        source: BoxError,
    },
    /// The layer was made from a `ServerConfig`, so there are no files to reload.
    NoFiles,
    /// rustls rejected the configuration.
    Config(rustls::Error),
}

impl fmt::Display for TlsConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use TlsConfigError::*;
        match self {
            Read { path, .. } => write!(f, "cannot read {}", path.display()),
            Pem {
                path,
                section,
                line,
                reason,
            } => write!(
                f,
                "cannot use section {section} of {}, line {line}: {reason}",
                path.display()
            ),
            NoCertificate { path } => write!(
                f,
                "no certificate in {}: expected a PEM section CERTIFICATE",
                path.display()
            ),
            BadCertificate {
                path,
                section,
                line,
                ..
            } => write!(
                f,
                "cannot use the certificate in {} (section {section}, line {line})",
                path.display()
            ),
            NoKey {
                path,
                encrypted: false,
            } => write!(
                f,
                "no private key in {}: expected a PEM section PRIVATE KEY",
                path.display()
            ),
            NoKey { path, .. } => write!(
                f,
                "the private key in {} is encrypted; decrypt it with `openssl pkey`",
                path.display()
            ),
            BadKey { path, .. } => write!(
                f,
                "cannot use the private key in {}: expected RSA of 2048 to 4096 bits, ECDSA with \
                 P-256 or P-384, or Ed25519",
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
                "the certificate in {} is not valid for {name}",
                certificate.display()
            ),
            Name { name } => write!(
                f,
                "invalid server name {name:?}: expected a host name such as example.org or *.example.org"
            ),
            OcspResponse { path, reason } => write!(
                f,
                "cannot staple the OCSP response in {}: {reason}",
                path.display()
            ),
            TicketKey { path, reason } => {
                write!(f, "cannot use the ticket key in {}: {reason}", path.display())
            }
            NoProvider => f.write_str(
                "no cryptography provider: set one on the `TlsBuilder`, install one for the process, or enable the feature `tls`",
            ),
            NothingToServe => f.write_str("no certificate to serve: set one on the `TlsBuilder`"),
            UncheckableAuthority {
                path,
                section,
                line,
            } => write!(
                f,
                "cannot check signatures by the authority in {} (section {section}, line {line}): \
                 expected a key for RSA of 2048 to 8192 bits, ECDSA with P-256 or P-384, or Ed25519",
                path.display()
            ),
            ClientAuthority { path, .. } => write!(
                f,
                "cannot use the authorities for client certificates in {}",
                path.display()
            ),
            NoRevocationList { path } => write!(
                f,
                "no revocation list in {}: expected a PEM section X509 CRL",
                path.display()
            ),
            RevocationList { path, .. } => write!(
                f,
                "cannot use the revocation lists in {}: expected X.509 CRLs of version 2",
                path.display()
            ),
            UnusedRevocationLists { path } => write!(
                f,
                "the revocation lists in {} have no use: request client certificates on the \
                 `TlsBuilder`",
                path.display()
            ),
            Alpn { protocol } => write!(
                f,
                "invalid ALPN protocol \"{}\": expected 1 to 255 bytes, and 8 KiB for all of them",
                protocol.escape_ascii()
            ),
            HostName { name } => write!(
                f,
                "invalid name of an upstream {name:?}: expected a host name such as example.org, or \
                 an IP address"
            ),
            ServerAuthority { .. } => f.write_str(
                "cannot use the authorities of upstreams; pass a file of authorities to the \
                 `TlsClientBuilder` if the system has none",
            ),
            NoFiles => f.write_str(
                "no files to reload: the layer was made from a `ServerConfig`; use \
                 `TlsReloader::replace`",
            ),
            Config(_) => f.write_str("cannot configure TLS"),
        }
    }
}

/// Prints the message and its sources.
impl fmt::Debug for TlsConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&ErrorChain(self), f)
    }
}

impl Error for TlsConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            TlsConfigError::Read { source, .. } => Some(source),
            TlsConfigError::BadCertificate { source, .. }
            | TlsConfigError::BadKey { source, .. }
            | TlsConfigError::Config(source) => Some(source),
            TlsConfigError::ClientAuthority { source, .. }
            | TlsConfigError::ServerAuthority { source }
            | TlsConfigError::RevocationList { source, .. } => Some(&**source),
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
