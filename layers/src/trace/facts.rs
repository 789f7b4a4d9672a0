//! The addresses and outcomes that spans and events record.
//!
//! Texts are recorded as strings and not through `Display`, so that subscribers escape whatever a
//! client put into them.

use reagent::{Addr, ConnectionHandle, ErrorChain, Outcome};
use std::{
    borrow::Cow,
    error::Error,
    fmt::{self, Write},
    io,
};

/// The length limit of an error's text. A longer text may contain data of a client, and does not
/// belong in a line of a log.
const MESSAGE_AT_MOST: usize = 1024;

/// The registry's value for an error without a class.
const OTHER: &str = "_OTHER";

/// The labels that have a separate field, both in the span and in the end event.
pub(super) const FIELDS: [&str; 5] = [
    "server.address",
    "tls.cipher",
    "tls.client.ja4",
    "tls.next_protocol",
    "tls.protocol.version",
];

pub(super) fn transport(addr: &Addr) -> Option<&'static str> {
    match addr {
        Addr::Tcp(_) => Some("tcp"),
        Addr::Unix(_) => Some("unix"),
        _ => None,
    }
}

pub(super) fn network_type(addr: &Addr) -> Option<&'static str> {
    match addr.ip()?.is_ipv4() {
        true => Some("ipv4"),
        false => Some("ipv6"),
    }
}

/// Returns the address without its port.
pub(super) fn address(addr: &Addr) -> Option<String> {
    match addr {
        Addr::Tcp(addr) => Some(addr.ip().to_string()),
        Addr::Unix(path) => path.as_ref().map(|path| path.display().to_string()),
        other => Some(other.to_string()),
    }
}

/// Returns the client's address if it differs from the peer of the socket.
pub(super) fn client(connection: &ConnectionHandle) -> Option<&Addr> {
    let peer = connection.peer_addr();
    (peer != connection.socket_addr()).then_some(peer)
}

/// The label by which a layer names the class of an error that it returns.
pub(super) const ERROR_TYPE: &str = "error.type";

/// Returns the class of an outcome. `label` is the class that a layer set for its error.
pub(super) fn error_type<'a>(outcome: &'a Outcome, label: Option<&'a str>) -> Option<Cow<'a, str>> {
    match outcome {
        Outcome::Completed | Outcome::Drained | Outcome::Aborted => None,
        Outcome::Rejected(rejected) => Some(rejected.reason().into()),
        Outcome::TimedOut(timed_out) => Some(timed_out.kind().into()),
        Outcome::Disconnected(disconnect) => Some(disconnect.as_str().into()),
        Outcome::Panicked(_) => Some("panic".into()),
        Outcome::Failed(error) => Some(match (label, io_kind(&**error)) {
            (Some(label), _) => label.into(),
            (None, Some(kind)) => format!("{kind:?}").into(),
            (None, None) => OTHER.into(),
        }),
        _ => Some(OTHER.into()),
    }
}

fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}

pub(super) fn error_message(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Failed(error) => Some(shortened(ErrorChain(&**error))),
        Outcome::Panicked(message) => Some(shortened(message)),
        _ => None,
    }
}

/// Returns the beginning of a text, without ever holding all of it.
fn shortened(text: impl fmt::Display) -> String {
    let mut short = Short(String::new());
    if write!(short, "{text}").is_err() {
        short.0.push('…');
    }
    short.0
}

struct Short(String);

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MESSAGE_AT_MOST - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|&end| text.is_char_boundary(end));
        self.0.push_str(&text[..end.unwrap_or(0)]);
        Err(fmt::Error)
    }
}
