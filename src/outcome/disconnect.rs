//! The ways in which a client goes away.

use std::{fmt, io};

/// The way in which a client went away while its handler still needed it; the detail of
/// [`Outcome::Disconnected`](crate::Outcome::Disconnected).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Disconnect {
    /// The client reset the connection, or closed it while the server was writing to it:
    /// `ECONNRESET`, `EPIPE`, `ECONNABORTED`.
    Reset,
    /// The client ended its input where more was expected.
    Eof,
    /// The client's input may have been cut short: it ended without the closing message of a layer
    /// that encrypts, such as TLS's `close_notify`. The handler returned `Ok`; see
    /// [`ConnectionHandle::set_truncated`](crate::ConnectionHandle::set_truncated).
    Truncated,
    /// The client's host stopped answering, according to the time limits of the system:
    /// `ETIMEDOUT`, `EHOSTUNREACH`, `ENETUNREACH`.
    TimedOut,
}

impl Disconnect {
    /// Returns the value as a label: `reset`, `eof`, `truncated` or `timed_out`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Disconnect::Reset => "reset",
            Disconnect::Eof => "eof",
            Disconnect::Truncated => "truncated",
            Disconnect::TimedOut => "timed_out",
        }
    }

    /// Returns what an error of this kind would mean if it came from the client's stream.
    pub(crate) fn from_kind(kind: io::ErrorKind) -> Option<Self> {
        match kind {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            // From `shutdown(2)` of a socket that has been reset.
            | io::ErrorKind::NotConnected => Some(Disconnect::Reset),
            io::ErrorKind::UnexpectedEof => Some(Disconnect::Eof),
            // The kind depends on the last ICMP message that arrived (`tcp(7)`).
            io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => Some(Disconnect::TimedOut),
            _ => None,
        }
    }
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
