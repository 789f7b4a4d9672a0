//! The authorities that sign client certificates.

use super::{TlsConfigError, contents::Contents};
use reagent::BoxError;
use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_rustls::rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use x509_parser::{
    prelude::{FromDer, X509Certificate},
    public_key::PublicKey,
};

/// The sizes that ring and aws-lc-rs can verify.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

/// The authorities of client certificates, and whether clients must have one.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    pub(super) authorities: PathBuf,
    pub(super) required: bool,
}

impl Clients {
    pub(super) fn verifier(
        &self,
        contents: &Contents,
        provider: &Arc<CryptoProvider>,
        crls: Option<&Path>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsConfigError> {
        let path: &Path = &self.authorities;
        let mut roots = RootCertStore::empty();
        for entry in contents.certificates(path)? {
            if !is_checkable(&entry.certificate, provider) {
                return Err(TlsConfigError::UncheckableAuthority {
                    path: path.to_owned(),
                    section: entry.section,
                    line: entry.line,
                });
            }
            roots
                .add(entry.certificate)
                .map_err(|source| TlsConfigError::BadCertificate {
                    path: path.to_owned(),
                    section: entry.section,
                    line: entry.line,
                    source,
                })?;
        }
        let mut verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        if let Some(crls) = crls {
            let lists = contents.revocation_lists(crls)?;
            verifier = verifier.with_crls(lists).enforce_revocation_expiration();
        }
        if !self.required {
            verifier = verifier.allow_unauthenticated();
        }
        verifier.build().map_err(|error| match (error, crls) {
            (VerifierBuilderError::InvalidCrl(error), Some(crls)) => {
                TlsConfigError::RevocationList {
                    path: crls.to_owned(),
                    source: BoxError::from(format!("{error:?}")),
                }
            }
            (error, _) => TlsConfigError::ClientAuthority {
                path: path.to_owned(),
                source: error.into(),
            },
        })
    }
}

/// Returns whether signatures by the key of this certificate can be verified. A certificate that
/// cannot be parsed is left to rustls to refuse.
fn is_checkable(certificate: &[u8], provider: &CryptoProvider) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return true;
    };
    let key = certificate.public_key();
    // The outer sequence, and the sequence of the algorithm in it.
    let id = inside(key.raw).and_then(inside);
    let known = &provider.signature_verification_algorithms.all;
    let is_known = known
        .iter()
        .any(|algorithm| Some(algorithm.public_key_alg_id().as_ref()) == id);
    is_known
        && match key.parsed() {
            Ok(PublicKey::RSA(rsa)) => RSA_BITS.contains(&rsa.key_size()),
            _ => true,
        }
}

/// Returns the contents of the first element of a DER encoding.
fn inside(der: &[u8]) -> Option<&[u8]> {
    let (&first, rest) = der.get(1..)?.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (len, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let len = len
                .iter()
                .fold(0, |len, byte| len << 8 | usize::from(*byte));
            (len, rest)
        }
        _ => return None,
    };
    rest.get(..len)
}
