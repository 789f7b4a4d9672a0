//! The error of a handshake.

use reagent::{Addr, BoxError};
use std::{error::Error, fmt, io};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};

/// The error of a TLS handshake that failed; it makes the outcome
/// [`Outcome::Failed`](reagent::Outcome::Failed), or
/// [`Outcome::Disconnected`](reagent::Outcome::Disconnected) if the client went away.
///
/// Its source is the error of rustls ([`rustls::Error`]) or of the socket ([`io::Error`]).
#[derive(Debug)]
pub struct HandshakeError {
    kind: HandshakeErrorKind,
    hint: Option<&'static str>,
    peer: Addr,
    source: BoxError,
}

/// The ways in which a handshake fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeErrorKind {
    /// The client offers no version, cipher suite, group or signature scheme that the server has.
    NoCommonVersionOrCipher,
    /// The client offers protocols (ALPN), and none that the server has.
    NoCommonProtocol,
    /// The client has no certificate and needs one, or one that is not good.
    BadClientCertificate,
    /// There is no certificate for the name that the client asks for.
    UnknownName,
    /// What the client began with is not TLS.
    NotTls,
    /// The client broke off with an alert: most often it does not trust the server's certificate.
    ClientRefused,
    /// The client went away, without a word.
    ClientClosed,
    /// The socket failed.
    Io,
    /// Anything else, such as a client that broke the protocol.
    Other,
}

impl HandshakeErrorKind {
    /// Returns the kind as a word, such as for a label.
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

/// Where in the handshake it failed: what makes no sense as a first message is not TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Hello,
    Rest,
}

/// A handshake's failure, before it is known whose.
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
                Some(name) => format!("it asks for {name}").into(),
                None => "it asks for no name".into(),
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

/// What a certificate has to be, for errors that tell that one is not so in rustls's own terms.
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
    /// Returns how the handshake failed.
    pub fn kind(&self) -> HandshakeErrorKind {
        self.kind
    }

    /// Returns the client's address: the connection's [`peer_addr`](reagent::Connection::peer_addr).
    pub fn peer_addr(&self) -> &Addr {
        &self.peer
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            HandshakeErrorKind::NoCommonVersionOrCipher => "nothing in common to encrypt with",
            HandshakeErrorKind::NoCommonProtocol => "no protocol in common",
            HandshakeErrorKind::BadClientCertificate => "bad client certificate",
            HandshakeErrorKind::UnknownName => "no certificate for that name",
            HandshakeErrorKind::NotTls => "the client does not speak TLS",
            HandshakeErrorKind::ClientRefused => "the client refused",
            HandshakeErrorKind::ClientClosed => "the client went away",
            HandshakeErrorKind::Io => "the socket failed",
            HandshakeErrorKind::Other => "handshake error",
        };
        let HandshakeError { peer, source, .. } = self;
        write!(f, "tls handshake with {peer} failed: {what}: {source}")?;
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
