//! The meaning of the errors of `accept(2)`.

use std::{
    fmt,
    io::{self, ErrorKind},
};

/// The scope of an accept error: one connection, the whole process, or the listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// A single connection, which is lost. The next client is accepted at once.
    Connection,
    /// The process or the system, which lacks descriptors or memory. Accepting is retried after a
    /// delay.
    Exhaustion,
    /// The listening socket, which will never accept again. It is reopened.
    Fatal,
}

impl ErrorClass {
    /// Returns the class as a label: `connection`, `exhaustion` or `fatal`.
    pub fn as_str(&self) -> &'static str {
        match self {
            ErrorClass::Connection => "connection",
            ErrorClass::Exhaustion => "exhaustion",
            ErrorClass::Fatal => "fatal",
        }
    }

    /// Classifies an error by the list in `accept(2)` of the Linux man-pages 6.
    ///
    /// Errors of the network and of a client that went away belong to the connection, although
    /// `accept` returns them. Errors that are not on the list count as exhaustion, since waiting
    /// loses no client, while reopening a socket resets those in its queue.
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

    /// Returns whether closing a descriptor would help.
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
