//! The files and options that a configuration is made from.

use super::{server_name, verifier::VerifiesName};
use crate::tls::{
    TlsConfigError, alpn, certificates::certified_key, contents::Contents,
    provider::default_provider,
};
use reagent::BoxError;
use std::{path::PathBuf, sync::Arc};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    client::{Resumption, VerifierBuilderError, WebPkiServerVerifier},
    crypto::CryptoProvider,
    sign::SingleCertAndKey,
};

#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    /// `None` stands for those of the system.
    pub(super) authorities: Option<PathBuf>,
    /// Revocation lists for the certificates of upstreams.
    pub(super) crls: Option<PathBuf>,
    /// A certificate chain and its key.
    pub(super) identity: Option<(PathBuf, PathBuf)>,
    pub(super) alpn: Vec<Vec<u8>>,
    pub(super) verify_name: Option<String>,
    pub(super) provider: Option<Arc<CryptoProvider>>,
}

impl Source {
    pub(super) fn read(&self) -> Contents {
        let identity = self.identity.iter().flat_map(|(chain, key)| [chain, key]);
        let files = identity.chain(&self.authorities).chain(&self.crls);
        Contents::read(files.map(PathBuf::as_path))
    }

    pub(super) fn configure(&self, contents: &Contents) -> Result<ClientConfig, TlsConfigError> {
        let provider = match &self.provider {
            Some(provider) => provider.clone(),
            None => default_provider()?,
        };
        let verifier = self.verifier(contents, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(TlsConfigError::Config)?;
        let builder = match &self.verify_name {
            None => builder.with_webpki_verifier(verifier),
            Some(name) => {
                let expected = server_name(name)
                    .ok_or_else(|| TlsConfigError::HostName { name: name.clone() })?;
                let verifier = VerifiesName { verifier, expected };
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let key = certified_key(contents, chain, key, &provider)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
            }
        };
        config.alpn_protocols = alpn::checked(&self.alpn)?;
        if self.crls.is_some() {
            // A certificate is not verified again when its session is resumed, and by then it may
            // have been revoked, or a list may have expired.
            config.resumption = Resumption::disabled();
        }
        Ok(config)
    }

    fn verifier(
        &self,
        contents: &Contents,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<WebPkiServerVerifier>, TlsConfigError> {
        let roots = Arc::new(self.roots(contents)?);
        let mut verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
        if let Some(crls) = &self.crls {
            let lists = contents.revocation_lists(crls)?;
            verifier = verifier.with_crls(lists).enforce_revocation_expiration();
        }
        verifier.build().map_err(|error| match (error, &self.crls) {
            (VerifierBuilderError::InvalidCrl(error), Some(crls)) => {
                TlsConfigError::RevocationList {
                    path: crls.clone(),
                    source: BoxError::from(format!("{error:?}")),
                }
            }
            (error, _) => TlsConfigError::ServerAuthority {
                source: error.into(),
            },
        })
    }

    fn roots(&self, contents: &Contents) -> Result<RootCertStore, TlsConfigError> {
        let mut roots = RootCertStore::empty();
        let Some(path) = &self.authorities else {
            let loaded = rustls_native_certs::load_native_certs();
            // A system may have certificates that are of no use, such as very old ones.
            let (added, _) = roots.add_parsable_certificates(loaded.certs);
            return match (added, loaded.errors.into_iter().next()) {
                (0, Some(error)) => Err(TlsConfigError::ServerAuthority {
                    source: error.into(),
                }),
                (0, None) => Err(TlsConfigError::ServerAuthority {
                    source: "the system has none".into(),
                }),
                _ => Ok(roots),
            };
        };
        for entry in contents.certificates(path)? {
            roots
                .add(entry.certificate)
                .map_err(|source| TlsConfigError::BadCertificate {
                    path: path.clone(),
                    section: entry.section,
                    line: entry.line,
                    source,
                })?;
        }
        Ok(roots)
    }
}
