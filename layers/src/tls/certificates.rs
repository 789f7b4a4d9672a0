//! Certificates, and which of them a client gets.

use super::{TlsConfigError, pem::Contents};
use std::{collections::HashMap, fmt, path::Path, sync::Arc};
use tokio_rustls::rustls::{
    Error, InconsistentKeys,
    client::verify_server_name,
    crypto::CryptoProvider,
    pki_types::{DnsName, ServerName},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};

/// By name (SNI, RFC 6066): an exact name goes before a wildcard, and that before the default.
#[derive(Default)]
pub(super) struct Certificates {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what is after the `*.`.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    pub(super) fn set_default(&mut self, key: CertifiedKey) {
        self.default = Some(Arc::new(key));
    }

    /// Adds the certificate of a file for a name that it must be good for.
    pub(super) fn add(
        &mut self,
        name: &str,
        path: &Path,
        key: CertifiedKey,
    ) -> Result<(), TlsConfigError> {
        let name = name.to_ascii_lowercase();
        let (names, bare) = match name.strip_prefix("*.") {
            Some(rest) => (&mut self.wildcard, rest),
            None => (&mut self.exact, &*name),
        };
        // A wildcard stands for any label.
        let example = DnsName::try_from(name.replacen('*', "any", 1))
            .ok()
            .filter(|_| !bare.is_empty() && !bare.contains('*') && !bare.ends_with('.'))
            .ok_or_else(|| TlsConfigError::Name { name: name.clone() })?;
        key.end_entity_cert()
            .and_then(ParsedCertificate::try_from)
            .and_then(|cert| verify_server_name(&cert, &ServerName::DnsName(example)))
            .map_err(|_| TlsConfigError::WrongName {
                certificate: path.to_owned(),
                name: name.clone(),
            })?;
        names.insert(bare.to_owned(), Arc::new(key));
        Ok(())
    }

    /// The one for a client that asks for this name. rustls gives names in lower case.
    pub(super) fn find(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        name.and_then(|name| {
            let of_wildcard = || self.wildcard.get(name.split_once('.')?.1);
            self.exact.get(name).or_else(of_wildcard)
        })
        .or(self.default.as_ref())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name()).cloned()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("exact", &self.exact.keys())
            .field("wildcard", &self.wildcard.keys())
            .field("default", &self.default.is_some())
            .finish()
    }
}

/// The certificate of one file with the key of another.
pub(super) fn certified_key(
    contents: &Contents,
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsConfigError> {
    let chain = contents.certificates(certificate)?;
    let signing_key = provider
        .key_provider
        .load_private_key(contents.key(key)?)
        .map_err(|_| TlsConfigError::BadKey {
            path: key.to_owned(),
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
            source,
        }),
    }
}
