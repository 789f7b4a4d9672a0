//! The error of a handshake.

use reagent::{Addr, BoxError};
use std::{error::Error, fmt, io};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};

/// The error of a failed TLS handshake.
///
/// It ends the connection as [`Outcome::Disconnected`](reagent::Outcome::Disconnected) if the
/// client disconnected, and otherwise as [`Outcome::Failed`](reagent::Outcome::Failed).
///
/// Its source is the error of rustls ([`rustls::Error`]) or of the socket ([`io::Error`]), or
/// contains the server name that the client asked for. The message does not repeat it.
#[derive(Debug)]
pub struct HandshakeError {
    kind: HandshakeErrorKind,
    hint: Option<&'static str>,
    peer: Addr,
    source: BoxError,
}

/// The kinds of handshake failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeErrorKind {
    /// The client offers no version, cipher suite, group or signature scheme that the server
    /// supports.
    NoCommonVersionOrCipher,
    /// The client offers protocols (ALPN), but none that the server supports.
    NoCommonProtocol,
    /// The client has no certificate although one is required, or its certificate is not valid.
    BadClientCertificate,
    /// The server has no certificate for the name that the client asks for.
    UnknownName,
    /// The first bytes of the client are not TLS.
    NotTls,
    /// The client aborted the handshake with an alert, most often because it does not trust the
    /// server's certificate.
    ClientRefused,
    /// The client closed the connection during the handshake.
    ClientClosed,
    /// The socket failed.
    Io,
    /// Anything else, such as a client that violates the protocol.
    Other,
}

impl HandshakeErrorKind {
    /// Returns the kind in snake case, as in the label `error.type`: `no_common_protocol`,
    /// `client_refused`, and so on.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoCommonVersionOrCipher => "no_common_version_or_cipher",
            Self::NoCommonProtocol => "no_common_protocol",
            Self::BadClientCertificate => "bad_client_certificate",
            Self::UnknownName => "unknown_name",
            Self::NotTls => "not_tls",
            Self::ClientRefused => "client_refused",
            Self::ClientClosed => "client_closed",
            Self::Io => "io",
            Self::Other => "other",
        }
    }
}

/// The stage at which a handshake failed. A first message that makes no sense is not TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Hello,
    Rest,
}

/// A failed handshake, before the address of the client is added.
#[derive(Debug)]
pub(super) struct Failure {
    kind: HandshakeErrorKind,
    hint: Option<&'static str>,
    source: BoxError,
}

impl Failure {
    pub(super) fn new(stage: Stage, error: io::Error) -> Self {
        match error.downcast::<rustls::Error>() {
            Ok(error) => Failure {
                kind: kind_of(stage, &error),
                hint: hint(&error),
                source: error.into(),
            },
            Err(error) => Failure {
                kind: match error.kind() {
                    io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe => HandshakeErrorKind::ClientClosed,
                    _ => HandshakeErrorKind::Io,
                },
                hint: None,
                source: error.into(),
            },
        }
    }

    pub(super) fn unknown_name(name: Option<&str>) -> Self {
        Failure {
            kind: HandshakeErrorKind::UnknownName,
            hint: None,
            source: match name {
                Some(name) => format!("the client asked for {name}").into(),
                None => "the client asked for no name".into(),
            },
        }
    }

    pub(super) fn with(self, peer: Addr) -> HandshakeError {
        HandshakeError {
            kind: self.kind,
            hint: self.hint,
            peer,
            source: self.source,
        }
    }
}

fn kind_of(stage: Stage, error: &rustls::Error) -> HandshakeErrorKind {
    use rustls::Error::*;
    match error {
        PeerIncompatible(_) => HandshakeErrorKind::NoCommonVersionOrCipher,
        NoApplicationProtocol => HandshakeErrorKind::NoCommonProtocol,
        NoCertificatesPresented | InvalidCertificate(_) => HandshakeErrorKind::BadClientCertificate,
        AlertReceived(AlertDescription::CloseNotify | AlertDescription::UserCanceled) => {
            HandshakeErrorKind::ClientClosed
        }
        AlertReceived(_) => HandshakeErrorKind::ClientRefused,
        InvalidMessage(_)
        | InappropriateMessage { .. }
        | InappropriateHandshakeMessage { .. }
        | PeerSentOversizedRecord
            if stage == Stage::Hello =>
        {
            HandshakeErrorKind::NotTls
        }
        _ => HandshakeErrorKind::Other,
    }
}

/// Returns what was expected of a certificate, for errors that describe its fault only in the terms
/// of rustls.
fn hint(error: &rustls::Error) -> Option<&'static str> {
    use CertificateError::{
        BadEncoding, Other, UnsupportedSignatureAlgorithmContext,
        UnsupportedSignatureAlgorithmForPublicKeyContext,
    };
    match error {
        rustls::Error::InvalidCertificate(
            BadEncoding
            | Other(_)
            | UnsupportedSignatureAlgorithmContext { .. }
            | UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) => Some(
            "expected X.509 version 3 and a signature by RSA of 2048 to 8192 bits, ECDSA with P-256 or P-384, \
             or Ed25519",
        ),
        _ => None,
    }
}

impl HandshakeError {
    /// Returns the kind of failure.
    pub fn kind(&self) -> HandshakeErrorKind {
        self.kind
    }

    /// Returns the address of the client: the connection's
    /// [`peer_addr`](reagent::Connection::peer_addr).
    pub fn peer_addr(&self) -> &Addr {
        &self.peer
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            HandshakeErrorKind::NoCommonVersionOrCipher => {
                "no version, cipher suite, group or signature scheme in common"
            }
            HandshakeErrorKind::NoCommonProtocol => "no ALPN protocol in common",
            HandshakeErrorKind::BadClientCertificate => "missing or invalid client certificate",
            HandshakeErrorKind::UnknownName => "no certificate for the server name",
            HandshakeErrorKind::NotTls => "the client does not speak TLS",
            HandshakeErrorKind::ClientRefused => "the client aborted it with an alert",
            HandshakeErrorKind::ClientClosed => "the client closed the connection",
            HandshakeErrorKind::Io => "the socket failed",
            HandshakeErrorKind::Other => "handshake error",
        };
        write!(f, "tls handshake with {} failed: {what}", self.peer)?;
        match self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl Error for HandshakeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
