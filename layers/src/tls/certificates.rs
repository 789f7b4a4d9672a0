//! The certificates of a layer, and the selection of one for a client.

use super::{
    ServedCertificate, TlsConfigError, contents::Contents, resolver::Resolver, stapled::Stapled,
};
use crate::net::names::Names;
use std::{fmt, path::Path, sync::Arc};
use tokio_rustls::rustls::{
    Error, InconsistentKeys,
    client::verify_server_name,
    crypto::CryptoProvider,
    pki_types::{DnsName, ServerName},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};

/// Certificates by server name (SNI, RFC 6066). An exact name takes precedence over a wildcard, a
/// wildcard over the resolver, and the resolver over the default.
#[derive(Default)]
pub(super) struct Certificates {
    named: Names<Stapled>,
    resolver: Option<Resolver>,
    default: Option<Stapled>,
    /// The certificates of files that are served, in the order of the configuration.
    served: Vec<ServedCertificate>,
}

impl Certificates {
    pub(super) fn new(resolver: Option<Resolver>) -> Self {
        Certificates {
            resolver,
            ..Certificates::default()
        }
    }

    pub(super) fn resolver(&self) -> Option<&Resolver> {
        self.resolver.as_ref()
    }

    pub(super) fn served(&self) -> Vec<ServedCertificate> {
        let resolved = self.resolver.iter().flat_map(Resolver::certificates);
        self.served.iter().cloned().chain(resolved).collect()
    }

    pub(super) fn set_default(&mut self, key: Stapled) {
        self.served.push(key.served(None));
        self.default = Some(key);
    }

    /// Adds a certificate for a name for which it must be valid.
    pub(super) fn add(
        &mut self,
        name: &str,
        path: &Path,
        key: Stapled,
    ) -> Result<(), TlsConfigError> {
        let invalid = || TlsConfigError::Name {
            name: name.to_owned(),
        };
        self.named
            .insert(name, key.clone())
            .map_err(|_| invalid())?;
        // A wildcard matches any label.
        let example = name
            .strip_suffix('.')
            .unwrap_or(name)
            .replacen('*', "any", 1);
        let example = DnsName::try_from(example).map_err(|_| invalid())?;
        key.certified()
            .end_entity_cert()
            .and_then(ParsedCertificate::try_from)
            .and_then(|cert| verify_server_name(&cert, &ServerName::DnsName(example)))
            .map_err(|_| TlsConfigError::WrongName {
                certificate: path.to_owned(),
                name: name.to_owned(),
            })?;
        let served = key.served(Some(name.to_owned()));
        self.served.push(served);
        Ok(())
    }

    /// Returns the certificate for a client. rustls provides names in lower case.
    pub(super) fn find(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let resolved = || self.resolver.as_ref()?.resolve(hello);
        let Some(name) = hello.server_name() else {
            return self.default.as_ref().map(Stapled::key).or_else(resolved);
        };
        let named = self.named.get(name).map(Stapled::key);
        let default = || self.default.as_ref().map(Stapled::key);
        named.or_else(resolved).or_else(default)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(&hello)
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("named", &self.named.keys().collect::<Vec<_>>())
            .field("default", &self.default.is_some())
            .finish()
    }
}

/// Combines the certificate chain of one file with the key of another.
pub(crate) fn certified_key(
    contents: &Contents,
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsConfigError> {
    let mut chain = Vec::new();
    let entries = contents.certificates(certificate)?;
    let (section, line) = (entries[0].section, entries[0].line);
    for entry in entries {
        // Each certificate is checked, so that the error can name the bad one.
        if let Err(source) = ParsedCertificate::try_from(&entry.certificate) {
            return Err(TlsConfigError::BadCertificate {
                path: certificate.to_owned(),
                section: entry.section,
                line: entry.line,
                source,
            });
        }
        chain.push(entry.certificate);
    }
    let signing_key = provider.key_provider.load_private_key(contents.key(key)?);
    let signing_key = signing_key.map_err(|source| TlsConfigError::BadKey {
        path: key.to_owned(),
        source,
    })?;
    let certified = CertifiedKey::new(chain, signing_key);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => Err(TlsConfigError::KeyMismatch {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        }),
        Err(source) => Err(TlsConfigError::BadCertificate {
            path: certificate.to_owned(),
            section,
            line,
            source,
        }),
    }
}
