//! What an error of `accept(2)` means for the acceptor.

use std::{
    fmt,
    io::{self, ErrorKind},
};

/// What an error of accepting concerns, and so what is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// The one connection, which is gone; the next is accepted at once.
    Connection,
    /// The process or the system, which lacks descriptors or memory; it is tried again after a while.
    Exhaustion,
    /// The listening socket, which will never accept again; it is opened anew.
    Fatal,
}

impl ErrorClass {
    /// One word for each, as a label: `connection`, `exhaustion`, `fatal`.
    pub fn as_str(&self) -> &'static str {
        match self {
            ErrorClass::Connection => "connection",
            ErrorClass::Exhaustion => "exhaustion",
            ErrorClass::Fatal => "fatal",
        }
    }

    /// Sorts an error by the list in `accept(2)`, Linux man-pages 6: the errors of the network and those
    /// of a client that went away are the connection's own, though `accept` returns them.
    ///
    /// What is not on the list counts as exhaustion: waiting loses no client, while opening a socket
    /// anew resets those in its queue.
    pub fn classify(error: &io::Error) -> Self {
        #[cfg(unix)]
        if let Some(errno) = error.raw_os_error() {
            return Self::from_errno(errno);
        }
        match error.kind() {
            ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
            | ErrorKind::TimedOut
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable => ErrorClass::Connection,
            ErrorKind::InvalidInput | ErrorKind::NotConnected | ErrorKind::BrokenPipe => {
                ErrorClass::Fatal
            }
            _ => ErrorClass::Exhaustion,
        }
    }

    #[cfg(unix)]
    fn from_errno(errno: i32) -> Self {
        match errno {
            libc::ECONNABORTED
            | libc::ECONNRESET
            | libc::ECONNREFUSED
            | libc::EINTR
            | libc::EPERM
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::ETIMEDOUT
            | libc::ENETDOWN
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::EOPNOTSUPP => ErrorClass::Connection,
            #[cfg(target_os = "linux")]
            libc::ENONET => ErrorClass::Connection,
            libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EFAULT => ErrorClass::Fatal,
            _ => ErrorClass::Exhaustion,
        }
    }

    /// Whether closing a descriptor would help.
    pub(crate) fn lacks_descriptors(error: &io::Error) -> bool {
        #[cfg(unix)]
        return matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
        #[cfg(not(unix))]
        return {
            let _ = error;
            false
        };
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
