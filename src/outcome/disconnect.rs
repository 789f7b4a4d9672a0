//! How an accepted client went away.

use std::{fmt, io};

/// How an accepted client went away while its handler still needed it; the detail of
/// [`Outcome::Disconnected`](crate::Outcome::Disconnected).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Disconnect {
    /// The client reset the connection, or closed it while it was written to: `ECONNRESET`,
    /// `EPIPE`, `ECONNABORTED`.
    Reset,
    /// The client sent its end of file where more was expected.
    Eof,
    /// The client ended its input without the end that an encrypting layer's protocol has for it, TLS's
    /// `close_notify`: what it sent may be the beginning of more. Its handler returned `Ok`; see
    /// [`ConnectionHandle::set_truncated`](crate::ConnectionHandle::set_truncated).
    Truncated,
    /// The client's host stopped answering, by the system's own time limits: `ETIMEDOUT`,
    /// `EHOSTUNREACH`, `ENETUNREACH`.
    TimedOut,
}

impl Disconnect {
    /// Returns one word for each, as a label: `reset`, `eof`, `truncated`, `timed_out`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Disconnect::Reset => "reset",
            Disconnect::Eof => "eof",
            Disconnect::Truncated => "truncated",
            Disconnect::TimedOut => "timed_out",
        }
    }

    /// What an error of this kind would say of the client, if it is the client's.
    pub(crate) fn from_kind(kind: io::ErrorKind) -> Option<Self> {
        match kind {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            // `shutdown(2)` of a socket that has been reset.
            | io::ErrorKind::NotConnected => Some(Disconnect::Reset),
            io::ErrorKind::UnexpectedEof => Some(Disconnect::Eof),
            // Which of them it is depends on the last ICMP message that came (`tcp(7)`).
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
