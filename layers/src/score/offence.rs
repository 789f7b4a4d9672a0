//! What clients do wrong.

use reagent::{ConnectionHandle, Disconnect, Outcome, event};
use std::{fmt, time::Duration};

/// The label by which a layer names the class of an error that it returns.
const ERROR_TYPE: &str = "error.type";

/// A connection that is reset sooner than this after it was accepted is a rapid reset.
const RAPID: Duration = Duration::from_secs(1);

/// Something that a client has done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Offence {
    /// A TLS handshake failed because of what the client sent.
    Handshake,
    /// A client sent what is not allowed by the protocol, such as a malformed HTTP request.
    Protocol,
    /// A sender whose PROXY headers are not trusted connected to a server that requires them.
    ProxyHeader,
    /// A client reset its connection within a second, after it had sent something; or it reset the
    /// streams of an HTTP/2 connection as fast as it opened them (CVE-2023-44487).
    RapidReset,
    /// A list or a limit per client refused the connection.
    Refusal,
    /// A client took too long to send what it had begun: a handshake, the head of a request, a
    /// body, or bytes at the minimum rate.
    Slow,
    /// An offence that a handler reports with [`Score::report`](super::Score::report), such as
    /// `login`.
    Custom(&'static str),
}

impl Offence {
    /// Returns the offence as a label: `handshake`, `protocol`, `proxy_header`, `rapid_reset`,
    /// `refusal`, `slow`, or the name of a custom one.
    pub const fn as_str(self) -> &'static str {
        match self {
            Offence::Handshake => "handshake",
            Offence::Protocol => "protocol",
            Offence::ProxyHeader => "proxy_header",
            Offence::RapidReset => "rapid_reset",
            Offence::Refusal => "refusal",
            Offence::Slow => "slow",
            Offence::Custom(name) => name,
        }
    }

    /// Returns the offence that the end of a connection amounts to, as seen by default.
    ///
    /// It judges the client by the outcome and by the label `error.type`, which layers of this crate
    /// set. These are no offences, whatever the client did:
    ///
    /// - what a client does that is banned already, or refused by a limit on all clients together or
    ///   by a fingerprint that it shares with others,
    /// - what may be the fault of the network or of the server, such as the end of a connection in
    ///   the middle of a message, a stalled write, or an error of the handler,
    /// - an idle client, and one that has not sent its first byte: browsers open spare connections,
    /// - what a trusted proxy does in its own name: a health check, an invalid header, or a header
    ///   without the client's address, for which `proxy_protocol` sets the label `proxy`.
    pub fn of(event: &event::ConnectionEnded<'_>) -> Option<Offence> {
        let client = event.connection;
        let offence = match event.outcome {
            Outcome::Rejected(rejected) => match rejected.reason() {
                "access"
                | "client connections"
                | "client rate"
                | "cluster client rate"
                | "cluster connections"
                | "no route" => Offence::Refusal,
                "invalid starttls" => Offence::Protocol,
                "proxy protocol" => Offence::ProxyHeader,
                _ => return None,
            },
            Outcome::TimedOut(limit) => match limit.kind() {
                "tls handshake" | "http header" | "http stream idle" | "frame" | "read"
                | "rate" => Offence::Slow,
                _ => return None,
            },
            Outcome::Failed(_) => from_label(&client.label(ERROR_TYPE)?)?,
            Outcome::Disconnected(Disconnect::Reset) => {
                let is_rapid = client.accepted_at().elapsed() < RAPID && client.bytes_read() > 0;
                is_rapid.then_some(Offence::RapidReset)?
            }
            _ => return None,
        };
        (!is_of_proxy(client)).then_some(offence)
    }
}

fn from_label(error_type: &str) -> Option<Offence> {
    Some(match error_type {
        "bad_client_certificate"
        | "client_refused"
        | "no_common_protocol"
        | "no_common_version_or_cipher"
        | "not_tls"
        | "other"
        | "unknown_name" => Offence::Handshake,
        "http_malformed" => Offence::Protocol,
        "http_flood" => Offence::RapidReset,
        // An invalid PROXY header comes from a sender that is trusted to name clients.
        _ => return None,
    })
}

/// Returns whether a proxy has said that it does not speak for a client, or does not know for which
/// one.
fn is_of_proxy(connection: &ConnectionHandle) -> bool {
    connection.label("proxy").is_some()
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
