//! A certificate that was issued, with its key.

use pem::{EncodeConfig, LineEnding, Pem};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio_rustls::rustls::{
    client::verify_server_name,
    crypto::ring::sign::any_supported_type,
    pki_types::{
        CertificateDer, DnsName, PrivateKeyDer, ServerName,
        pem::{PemObject, SectionKind},
    },
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// A certificate with its key, as it is kept in a file and served.
#[derive(Clone)]
pub(super) struct Certificate {
    pub(super) served: Arc<CertifiedKey>,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
    /// The key and the chain.
    pem: Arc<Zeroizing<String>>,
}

impl Certificate {
    /// Reads a key and a chain in PEM, and checks that they belong together and to `domain`. The
    /// error names what was expected.
    pub(super) fn read(domain: &str, text: &str) -> Result<Self, &'static str> {
        let sections = <(SectionKind, Vec<u8>) as PemObject>::pem_slice_iter(text.as_bytes());
        let (mut key, mut chain) = (None, Vec::new());
        for section in sections {
            match section.map_err(|_| "PEM")? {
                (SectionKind::Certificate, der) => chain.push(CertificateDer::from(der)),
                (SectionKind::PrivateKey, der) if key.is_none() => {
                    key = Some(PrivateKeyDer::Pkcs8(der.into()));
                }
                _ => return Err("one private key and certificates"),
            }
        }
        Self::new(domain, &key.ok_or("a private key")?, chain)
    }

    /// Combines a key with the chain that was issued for it.
    pub(super) fn issued(
        domain: &str,
        key: &PrivateKeyDer<'_>,
        chain: &str,
    ) -> Result<Self, &'static str> {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
        let chain: Result<Vec<_>, _> = chain.collect();
        let issued = Self::new(domain, key, chain.map_err(|_| "certificates in PEM")?)?;
        match issued.not_after > SystemTime::now() {
            true => Ok(issued),
            false => Err("a certificate that has not expired"),
        }
    }

    fn new(
        domain: &str,
        key: &PrivateKeyDer<'_>,
        chain: Vec<CertificateDer<'static>>,
    ) -> Result<Self, &'static str> {
        let [own, ..] = &*chain else {
            return Err("a certificate");
        };
        let signing = any_supported_type(key).map_err(|_| "a private key that TLS can use")?;
        let (not_before, not_after) = validity(own).ok_or("a certificate")?;
        let name = DnsName::try_from(domain).map_err(|_| "a host name")?;
        ParsedCertificate::try_from(own)
            .and_then(|own| verify_server_name(&own, &ServerName::DnsName(name)))
            .map_err(|_| "a certificate for the domain")?;
        let mut text = Zeroizing::new(section("PRIVATE KEY", key.secret_der()));
        for certificate in &chain {
            text.push_str(&section("CERTIFICATE", certificate));
        }
        let served = CertifiedKey::new(chain, signing);
        served
            .keys_match()
            .map_err(|_| "a certificate for the private key")?;
        Ok(Certificate {
            served: Arc::new(served),
            not_before,
            not_after,
            pem: Arc::new(text),
        })
    }

    /// Returns the key and the chain, the server's own certificate first.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// Returns the server's own certificate.
    pub(super) fn own(&self) -> &CertificateDer<'static> {
        &self.served.cert[0]
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.own() == other.own()
    }
}

fn section(label: &str, der: &[u8]) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(label, der), config)
}

fn validity(certificate: &[u8]) -> Option<(SystemTime, SystemTime)> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let time = |seconds: i64| {
        let seconds = seconds.try_into().ok()?;
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    };
    let validity = certificate.validity();
    let (from, to) = (
        time(validity.not_before.timestamp())?,
        time(validity.not_after.timestamp())?,
    );
    (from < to).then_some((from, to))
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}
