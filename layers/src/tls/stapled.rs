//! A certificate with an OCSP response that can expire.

use super::{ServedCertificate, TlsBuilder, TlsConfigError, contents::Contents, ocsp};
use std::{path::Path, sync::Arc, time::SystemTime};
use tokio_rustls::rustls::sign::CertifiedKey;

impl TlsBuilder {
    /// Sets the OCSP response that is sent with the certificate that was added last, so that
    /// clients need not ask its authority whether it was revoked (RFC 6066, section 8). Without a
    /// certificate, the call has no effect.
    ///
    /// The file contains a response in DER, as `openssl ocsp -respout` writes it. It must be
    /// successful, and name the serial number of the certificate with the status `good`. It is read
    /// again at every [reload](super::TlsReloader), together with the certificate: if it is not valid
    /// then, everything that was read last stays in use.
    ///
    /// Once the response has expired, the certificate is served without it. That is no error, not
    /// even at the start, since a responder that is down must not stop a server whose clients can do
    /// without. [`ServedCertificate`](super::ServedCertificate) has the date to watch.
    ///
    /// Its signature and its authority are not checked. Clients check both, and some of them refuse
    /// the connection if either is wrong. The response is not fetched: a program such as a timer
    /// that runs `openssl ocsp` has to replace the file.
    pub fn ocsp_response(mut self, response: impl AsRef<Path>) -> Self {
        let last = match self.adds_default_last {
            true => self.source.default.as_mut(),
            false => self.source.named.last_mut().map(|(_, pair)| pair),
        };
        if let Some(pair) = last {
            pair.ocsp = Some(response.as_ref().to_owned());
        }
        self
    }
}

/// A certificate with its key, and an OCSP response if there is one.
#[derive(Clone)]
pub(super) struct Stapled {
    key: Arc<CertifiedKey>,
    /// The end of the response, and what is served from then on.
    expiry: Option<(SystemTime, Arc<CertifiedKey>)>,
}

impl Stapled {
    /// Staples the response in a file to a certificate.
    pub(super) fn new(
        mut key: CertifiedKey,
        contents: &Contents,
        path: &Path,
    ) -> Result<Self, TlsConfigError> {
        let response = contents.bytes(path)?;
        let until = ocsp::check(response, &key);
        let until = until.map_err(|reason| TlsConfigError::OcspResponse {
            path: path.to_owned(),
            reason,
        })?;
        let expiry = until.map(|until| (until, Arc::new(key.clone())));
        key.ocsp = Some(response.to_vec());
        Ok(Stapled {
            key: Arc::new(key),
            expiry,
        })
    }

    /// Returns what is served now: an expired response would make clients fail that do not need
    /// one.
    pub(super) fn key(&self) -> Arc<CertifiedKey> {
        match &self.expiry {
            Some((until, without)) if *until < SystemTime::now() => without.clone(),
            _ => self.key.clone(),
        }
    }

    pub(super) fn certified(&self) -> &CertifiedKey {
        &self.key
    }

    pub(super) fn served(&self, name: Option<String>) -> ServedCertificate {
        ServedCertificate {
            ocsp_next_update: self.expiry.as_ref().map(|(until, _)| *until),
            ..ServedCertificate::new(name, &self.key.cert)
        }
    }
}

impl From<CertifiedKey> for Stapled {
    fn from(key: CertifiedKey) -> Self {
        Stapled {
            key: Arc::new(key),
            expiry: None,
        }
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio_rustls::rustls::{crypto::ring::sign::any_supported_type, pki_types::PrivateKeyDer};

    #[test]
    fn a_response_is_not_sent_after_its_end() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let key = any_supported_type(&key).unwrap();
        let bare = CertifiedKey::new(vec![made.cert.der().clone()], key);
        let mut key = bare.clone();
        key.ocsp = Some(b"response".to_vec());
        let mut stapled = Stapled::from(key);
        let bare = Arc::new(bare);
        let minute = Duration::from_secs(60);
        for (until, is_sent) in [
            (SystemTime::now() + minute, true),
            (SystemTime::now() - minute, false),
        ] {
            stapled.expiry = Some((until, bare.clone()));
            assert_eq!(stapled.key().ocsp.is_some(), is_sent);
        }
    }
}
