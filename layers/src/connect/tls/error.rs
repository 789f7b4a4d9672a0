//! The error of a handshake with an upstream.

use reagent::BoxError;
use std::{error::Error, fmt, io};
use tokio_rustls::rustls::{
    self, AlertDescription, CertificateError,
    pki_types::{ServerName, UnixTime},
};

/// The error of a TLS handshake with an upstream. The message says why in words, and the source is
/// the error of rustls ([`rustls::Error`](crate::tls::rustls::Error)) or of the socket
/// ([`io::Error`]).
#[derive(Debug)]
pub struct TlsClientError {
    kind: TlsClientErrorKind,
    message: String,
    source: Option<BoxError>,
}

/// The reasons for which a handshake with an upstream fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsClientErrorKind {
    /// The certificate has expired.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate was issued for other names.
    WrongName,
    /// The certificate was issued by an authority that is not trusted.
    UnknownAuthority,
    /// The certificate was revoked.
    Revoked,
    /// It is unknown whether the certificate was revoked, because a
    /// [revocation list](super::TlsClientBuilder::crls) is missing or out of date.
    RevocationUnknown,
    /// The certificate cannot be used for another reason.
    BadCertificate,
    /// The upstream supports no version, cipher suite, group or signature scheme of ours.
    NoCommonVersionOrCipher,
    /// The upstream supports none of the offered protocols (ALPN).
    NoCommonProtocol,
    /// The upstream aborted the handshake with an alert. It may require a client certificate.
    Refused,
    /// The upstream does not speak TLS.
    NotTls,
    /// The upstream closed the connection.
    Closed,
    /// The target has no name, and none was set.
    NoName,
    /// The socket failed.
    Io,
    /// Anything else, such as an upstream that violates the protocol.
    Other,
}

impl TlsClientErrorKind {
    /// Returns the kind in snake case: `expired`, `unknown_authority`, and so on.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongName => "wrong_name",
            Self::UnknownAuthority => "unknown_authority",
            Self::Revoked => "revoked",
            Self::RevocationUnknown => "revocation_unknown",
            Self::BadCertificate => "bad_certificate",
            Self::NoCommonVersionOrCipher => "no_common_version_or_cipher",
            Self::NoCommonProtocol => "no_common_protocol",
            Self::Refused => "refused",
            Self::NotTls => "not_tls",
            Self::Closed => "closed",
            Self::NoName => "no_name",
            Self::Io => "io",
            Self::Other => "other",
        }
    }
}

impl TlsClientError {
    /// Describes the failure of a handshake with an upstream that was asked for `name`.
    pub(super) fn new(name: &ServerName<'_>, error: io::Error) -> Self {
        match error.downcast::<rustls::Error>() {
            Ok(error) => {
                let (kind, message) = describe(name, &error);
                TlsClientError {
                    kind,
                    message,
                    source: Some(error.into()),
                }
            }
            Err(error) => {
                let (kind, message) = match error.kind() {
                    io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe => (
                        TlsClientErrorKind::Closed,
                        "the upstream closed the connection during the TLS handshake",
                    ),
                    _ => (
                        TlsClientErrorKind::Io,
                        "the socket failed during the TLS handshake",
                    ),
                };
                TlsClientError {
                    kind,
                    message: message.to_owned(),
                    source: Some(error.into()),
                }
            }
        }
    }

    pub(super) fn no_name() -> Self {
        TlsClientError {
            kind: TlsClientErrorKind::NoName,
            message: "the certificate of the upstream cannot be verified without a name: set \
                      `TlsClientBuilder::server_name`"
                .to_owned(),
            source: None,
        }
    }

    /// Returns the reason.
    pub fn kind(&self) -> TlsClientErrorKind {
        self.kind
    }
}

/// Returns the kind of an error, and its message.
fn describe(name: &ServerName<'_>, error: &rustls::Error) -> (TlsClientErrorKind, String) {
    use TlsClientErrorKind as Kind;
    use rustls::Error::*;
    let (kind, what) = match error {
        InvalidCertificate(error) => return describe_certificate(name, error),
        PeerIncompatible(_) | AlertReceived(AlertDescription::ProtocolVersion) => (
            Kind::NoCommonVersionOrCipher,
            "no version, cipher suite, group or signature scheme in common",
        ),
        NoApplicationProtocol | AlertReceived(AlertDescription::NoApplicationProtocol) => {
            (Kind::NoCommonProtocol, "no ALPN protocol in common")
        }
        AlertReceived(AlertDescription::UnrecognisedName) => {
            let what = format!("the upstream has no certificate for {}", name.to_str());
            return (Kind::Refused, what);
        }
        AlertReceived(AlertDescription::CertificateRequired) => {
            (Kind::Refused, "the upstream requires a client certificate")
        }
        AlertReceived(_) => (Kind::Refused, "the upstream aborted it with an alert"),
        InvalidMessage(_) => (Kind::NotTls, "the upstream does not speak TLS"),
        _ => (Kind::Other, "handshake error"),
    };
    (kind, what.to_owned())
}

fn describe_certificate(
    name: &ServerName<'_>,
    error: &CertificateError,
) -> (TlsClientErrorKind, String) {
    use CertificateError::*;
    use TlsClientErrorKind as Kind;
    let of = format!("the certificate of {}", name.to_str());
    match error {
        Expired => (Kind::Expired, format!("{of} has expired")),
        ExpiredContext { time, not_after } => (
            Kind::Expired,
            format!("{of} has expired {} ago", days(*not_after, *time)),
        ),
        NotValidYet => (Kind::NotYetValid, format!("{of} is not valid yet")),
        NotValidYetContext { time, not_before } => (
            Kind::NotYetValid,
            format!("{of} is not valid for another {}", days(*time, *not_before)),
        ),
        NotValidForName => (Kind::WrongName, format!("{of} was issued for other names")),
        NotValidForNameContext {
            expected,
            presented,
        } => (
            Kind::WrongName,
            format!(
                "{of} is not valid for {}, but for {}",
                expected.to_str(),
                listed(presented)
            ),
        ),
        UnknownIssuer => (
            Kind::UnknownAuthority,
            format!("{of} was issued by an authority that is not trusted"),
        ),
        Revoked => (Kind::Revoked, format!("{of} was revoked")),
        UnknownRevocationStatus => (
            Kind::RevocationUnknown,
            format!("there is no revocation list of an authority that {of} depends on"),
        ),
        ExpiredRevocationList => (
            Kind::RevocationUnknown,
            format!("the revocation list for {of} is out of date"),
        ),
        ExpiredRevocationListContext { time, next_update } => (
            Kind::RevocationUnknown,
            format!(
                "the revocation list for {of} has been out of date for {}",
                days(*next_update, *time)
            ),
        ),
        _ => (Kind::BadCertificate, format!("{of} cannot be used")),
    }
}

/// Returns the time between two moments, in words.
fn days(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    let plural = |n: u64, unit: &str| match n {
        1 => format!("1 {unit}"),
        n => format!("{n} {unit}s"),
    };
    match seconds {
        0..60 => plural(seconds, "second"),
        60..3600 => plural(seconds / 60, "minute"),
        3600..172_800 => plural(seconds / 3600, "hour"),
        _ => plural(seconds / 86_400, "day"),
    }
}

/// Returns the first names of a certificate.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    // rustls has the kind of each name around it, as in `DnsName("example.org")`.
    let plain = |name: &String| {
        let inner = name
            .split_once('(')
            .and_then(|(_, rest)| rest.strip_suffix(')'));
        inner.unwrap_or(name).trim_matches('"').to_owned()
    };
    let shown: Vec<_> = names.iter().take(SHOWN).map(plain).collect();
    match names.len() {
        0 => "no name".to_owned(),
        1..=SHOWN => shown.join(", "),
        all => format!("{} and {} more", shown.join(", "), all - SHOWN),
    }
}

impl fmt::Display for TlsClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for TlsClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
