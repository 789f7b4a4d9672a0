//! The sections of a PEM file. No section is skipped silently.

use super::TlsConfigError;
use std::path::Path;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
    pem::{Error as PemError, PemObject},
};
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Some editors put it at the start of a file, and `cat` then moves it to the middle.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The lines between a BEGIN and an END line.
pub(super) struct Section<'a> {
    label: &'a str,
    lines: Vec<&'a str>,
    /// Both start at 1.
    pub(super) number: usize,
    pub(super) line: usize,
}

/// Splits a file into its sections, in order.
pub(super) fn sections<'a>(
    path: &Path,
    contents: &'a [u8],
) -> Result<Vec<Section<'a>>, TlsConfigError> {
    let mut sections = Vec::new();
    let mut open: Option<Section<'a>> = None;
    for (line, text) in (1..).zip(contents.split(|byte| *byte == b'\n')) {
        let bad = |number, reason| TlsConfigError::Pem {
            path: path.to_owned(),
            section: number,
            line,
            reason,
        };
        let number = open.as_ref().map_or(sections.len() + 1, |open| open.number);
        let Ok(text) = std::str::from_utf8(text) else {
            match open {
                None => continue,
                Some(_) => return Err(bad(number, "it is not UTF-8 text")),
            }
        };
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == BYTE_ORDER_MARK);
        let label = |mark: &str| text.strip_prefix(mark)?.strip_suffix(DASHES);
        match (&mut open, label(BEGIN), label(END)) {
            (None, Some(label), _) => {
                open = Some(Section {
                    label,
                    lines: Vec::new(),
                    number,
                    line,
                });
            }
            (Some(section), None, Some(label)) if label == section.label => {
                sections.extend(open.take());
            }
            _ if text.contains(BEGIN.trim_end()) => {
                return Err(bad(
                    number,
                    "the line has text beside its BEGIN mark; put the mark on a separate line",
                ));
            }
            (Some(_), _, Some(_)) => {
                return Err(bad(
                    number,
                    "its END mark has another label than its BEGIN mark",
                ));
            }
            (Some(section), ..) => section.lines.push(text),
            // Text outside of sections is a comment.
            (None, ..) => {}
        }
    }
    match open {
        None => Ok(sections),
        Some(section) => Err(section.bad(path, "its END mark is missing")),
    }
}

impl Section<'_> {
    /// Returns the certificate, if the section is one.
    pub(super) fn certificate(
        &self,
        path: &Path,
    ) -> Result<Option<CertificateDer<'static>>, TlsConfigError> {
        match self.label {
            "CERTIFICATE" | "X509 CERTIFICATE" => {
                CertificateDer::from_pem_slice(self.text("CERTIFICATE").as_bytes())
                    .map(Some)
                    .map_err(|error| self.damaged(path, &error))
            }
            "TRUSTED CERTIFICATE" => Err(self.bad(
                path,
                "it is a TRUSTED CERTIFICATE; convert it to a CERTIFICATE with `openssl x509`",
            )),
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
                Err(self.bad(path, "it is a certificate request; expected a CERTIFICATE"))
            }
            "PKCS7" | "CMS" => Err(self.bad(
                path,
                "it is PKCS #7; convert it to CERTIFICATE sections with `openssl pkcs7 -print_certs`",
            )),
            "X509 CRL" | "CRL" => Err(self.bad(
                path,
                "it is a revocation list; pass its file to `TlsBuilder::client_crls`",
            )),
            label if label.contains("CERTIFICATE") => {
                Err(self.bad(path, "expected a CERTIFICATE"))
            }
            _ => Ok(None),
        }
    }

    /// Returns the certificate revocation list, if the section is one.
    pub(super) fn revocation_list(
        &self,
        path: &Path,
    ) -> Result<Option<CertificateRevocationListDer<'static>>, TlsConfigError> {
        if !["X509 CRL", "CRL"].contains(&self.label) {
            return Ok(None);
        }
        CertificateRevocationListDer::from_pem_slice(self.text("X509 CRL").as_bytes())
            .map(Some)
            .map_err(|error| self.damaged(path, &error))
    }

    /// Returns the key, if the section is one.
    pub(super) fn key(
        &self,
        path: &Path,
    ) -> Result<Option<PrivateKeyDer<'static>>, TlsConfigError> {
        let is_encrypted = self.label == "ENCRYPTED PRIVATE KEY"
            || self
                .lines
                .iter()
                .any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED"));
        match self.label {
            label if !label.ends_with("PRIVATE KEY") => Ok(None),
            _ if is_encrypted => Err(TlsConfigError::NoKey {
                path: path.to_owned(),
                encrypted: true,
            }),
            label @ ("PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY") => {
                PrivateKeyDer::from_pem_slice(self.text(label).as_bytes())
                    .map(Some)
                    .map_err(|error| self.damaged(path, &error))
            }
            _ => Err(self.bad(path, "TLS does not use this kind of key; expected a PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY")),
        }
    }

    /// Returns the section in the form that the parser expects, without the old headers (RFC 1421,
    /// section 4.6).
    fn text(&self, label: &str) -> Zeroizing<String> {
        let body = self.lines.iter().map(|line| line.len() + 1).sum::<usize>();
        // Allocated in one piece: the memory that a growing string leaves behind is not
        // overwritten.
        let mut text = String::with_capacity(body + 2 * (label.len() + 20));
        text.extend([BEGIN, label, DASHES, "\n"]);
        for line in self.lines.iter().filter(|line| !line.contains(':')) {
            text.extend([line, "\n"]);
        }
        text.extend([END, label, DASHES, "\n"]);
        Zeroizing::new(text)
    }

    pub(super) fn bad(&self, path: &Path, reason: &'static str) -> TlsConfigError {
        TlsConfigError::Pem {
            path: path.to_owned(),
            section: self.number,
            line: self.line,
            reason,
        }
    }

    /// The error itself contains lines of the file, which may be lines of a key, so it is not
    /// shown.
    fn damaged(&self, path: &Path, error: &PemError) -> TlsConfigError {
        self.bad(
            path,
            match error {
                PemError::Base64Decode(_) => "expected base64",
                _ => "expected PEM",
            },
        )
    }
}
