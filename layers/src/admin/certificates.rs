//! The certificates that the server presents.

use super::response::{self, AdminResponse};
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

/// A certificate to show, as `TlsReloader::certificates` of the feature `tls` lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The name that it is presented for, or `None` for the default one.
    pub name: Option<String>,
    /// The end of its validity, if it is known.
    pub not_after: Option<SystemTime>,
}

#[derive(Serialize)]
struct CertificateView {
    name: Option<String>,
    /// Seconds since 1970.
    not_after: Option<f64>,
    /// Seconds, negative once it has expired.
    expires_in: Option<f64>,
}

pub(super) fn list(certificates: Vec<Certificate>) -> AdminResponse {
    let now = seconds(SystemTime::now());
    let views = certificates.into_iter().map(|certificate| {
        let not_after = certificate.not_after.map(seconds);
        CertificateView {
            name: certificate.name,
            not_after,
            expires_in: not_after.map(|not_after| not_after - now),
        }
    });
    response::ok(&views.collect::<Vec<_>>())
}

fn seconds(time: SystemTime) -> f64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}
