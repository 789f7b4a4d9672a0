//! The facts about served certificates.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate that a layer serves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServedCertificate {
    /// The name for which it is served, as it was configured. `None` for the default certificate.
    pub name: Option<String>,
    /// The earliest expiry of a certificate in its chain, from which time clients refuse it. `None`
    /// if no date could be read.
    pub not_after: Option<SystemTime>,
    /// The time until which an [OCSP response](super::TlsBuilder::ocsp_response) is stapled to it.
    /// `None` without a response, or if the response has no end. A time in the past means that
    /// nothing is stapled.
    pub ocsp_next_update: Option<SystemTime>,
}

impl ServedCertificate {
    /// Describes a certificate that is served for `name`, with the expiry of its chain.
    pub fn new(name: Option<String>, chain: &[CertificateDer<'_>]) -> Self {
        ServedCertificate {
            name,
            not_after: chain
                .iter()
                .filter_map(|certificate| not_after(certificate))
                .min(),
            ocsp_next_update: None,
        }
    }
}

fn not_after(certificate: &[u8]) -> Option<SystemTime> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let seconds = certificate.validity().not_after.timestamp();
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds.try_into().ok()?))
}
