//! What happens in a server, told to whom it may concern.

use crate::{Acceptor, Addr, BoxError, ConnectionHandle, DrainReport, ErrorClass, Outcome};
use std::{io, sync::Arc, time::Duration};

/// Is told what happens in a server; every callback does nothing unless it is written.
///
/// The core itself logs nothing. The callbacks run where the thing happens and hold it up: they must
/// be quick and must not block. A panic in one is swallowed.
///
/// Every accepted connection gets one `connection_started` and one `connection_ended`, whatever ends it.
pub trait Observer: Send + Sync + 'static {
    /// An address is listened on.
    fn listener_started(&self, addr: &Addr) {
        let _ = addr;
    }

    /// A listening socket accepts no more; it is reopened if that is possible.
    fn listener_lost(&self, addr: &Addr, error: &io::Error) {
        let _ = (addr, error);
    }

    /// A lost listening socket could not be reopened; it will be tried again after `retry_in`, or never.
    fn listener_reopen_failed(&self, addr: &Addr, error: &io::Error, retry_in: Option<Duration>) {
        let _ = (addr, error, retry_in);
    }

    /// A lost listening socket has been replaced.
    fn listener_reopened(&self, addr: &Addr) {
        let _ = addr;
    }

    /// An address is listened on no more.
    fn listener_stopped(&self, addr: &Addr) {
        let _ = addr;
    }

    /// An acceptor has a service and begins to accept.
    fn acceptor_started(&self, acceptor: &Acceptor) {
        let _ = acceptor;
    }

    /// An acceptor's service failed, panicked or could not be made; a new one is made after
    /// `retry_in`.
    fn acceptor_failed(&self, acceptor: &Acceptor, error: &BoxError, retry_in: Duration) {
        let _ = (acceptor, error, retry_in);
    }

    /// An acceptor accepts no more: the pool was made smaller, the server stops, or its service failed and it
    /// will start anew.
    fn acceptor_stopped(&self, acceptor: &Acceptor) {
        let _ = acceptor;
    }

    /// Accepting a client failed. While the process lacks descriptors or memory, this comes once for
    /// each attempt; [`exhausted`](Self::exhausted) once for all.
    fn accept_failed(&self, acceptor: &Acceptor, error: &io::Error, class: ErrorClass) {
        let _ = (acceptor, error, class);
    }

    /// The process or the system ran out of what a connection needs; no client can be served.
    fn exhausted(&self, error: &io::Error) {
        let _ = error;
    }

    /// Clients can be served again, after this long and after so many had to be turned away.
    fn exhaustion_ended(&self, lasted: Duration, turned_away: u64) {
        let _ = (lasted, turned_away);
    }

    /// A client waits, and `max_connections` are open.
    fn limit_reached(&self, acceptor: &Acceptor) {
        let _ = acceptor;
    }

    /// The client that waited at `max_connections` can be accepted, after this long.
    fn limit_waited(&self, acceptor: &Acceptor, waited: Duration) {
        let _ = (acceptor, waited);
    }

    /// A connection was accepted; it has not been seen by any layer.
    fn connection_started(&self, connection: &ConnectionHandle) {
        let _ = connection;
    }

    /// A layer or a handler says a fact of a connection; it comes where that is said, before it is among
    /// the [`labels`](crate::ConnectionInfo::labels).
    fn connection_labelled(&self, connection: &ConnectionHandle, key: &'static str, value: &str) {
        let _ = (connection, key, value);
    }

    /// An [upgrade](crate::Upgrade) of a connection, by its [name](crate::Upgrade::name), is done: a handshake, a
    /// header. It took so long, the wait for the client included. Of one that fails there is only the outcome.
    fn connection_upgraded(
        &self,
        connection: &ConnectionHandle,
        upgrade: &'static str,
        took: Duration,
    ) {
        let _ = (connection, upgrade, took);
    }

    /// A connection is over, and its socket closed. It is counted until this returns.
    fn connection_ended(&self, connection: &ConnectionHandle, outcome: &Outcome) {
        let _ = (connection, outcome);
    }

    /// The server stops accepting and tells so many open connections to finish.
    fn drain_started(&self, open: usize) {
        let _ = open;
    }

    /// The server has stopped.
    fn drain_ended(&self, report: &DrainReport) {
        let _ = report;
    }
}

/// Implements `Observer` for a pointer by telling what it points to.
macro_rules! delegate_observer {
    ($($pointer:ident),+) => {$(
        // One that is forgotten here would be lost without a word.
        #[deny(clippy::missing_trait_methods)]
        impl<T: Observer + ?Sized> Observer for $pointer<T> {
            fn listener_started(&self, addr: &Addr) {
                (**self).listener_started(addr);
            }

            fn listener_lost(&self, addr: &Addr, error: &io::Error) {
                (**self).listener_lost(addr, error);
            }

            fn listener_reopen_failed(
                &self,
                addr: &Addr,
                error: &io::Error,
                retry_in: Option<Duration>,
            ) {
                (**self).listener_reopen_failed(addr, error, retry_in);
            }

            fn listener_reopened(&self, addr: &Addr) {
                (**self).listener_reopened(addr);
            }

            fn listener_stopped(&self, addr: &Addr) {
                (**self).listener_stopped(addr);
            }

            fn acceptor_started(&self, acceptor: &Acceptor) {
                (**self).acceptor_started(acceptor);
            }

            fn acceptor_failed(&self, acceptor: &Acceptor, error: &BoxError, retry_in: Duration) {
                (**self).acceptor_failed(acceptor, error, retry_in);
            }

            fn acceptor_stopped(&self, acceptor: &Acceptor) {
                (**self).acceptor_stopped(acceptor);
            }

            fn accept_failed(&self, acceptor: &Acceptor, error: &io::Error, class: ErrorClass) {
                (**self).accept_failed(acceptor, error, class);
            }

            fn exhausted(&self, error: &io::Error) {
                (**self).exhausted(error);
            }

            fn exhaustion_ended(&self, lasted: Duration, turned_away: u64) {
                (**self).exhaustion_ended(lasted, turned_away);
            }

            fn limit_reached(&self, acceptor: &Acceptor) {
                (**self).limit_reached(acceptor);
            }

            fn limit_waited(&self, acceptor: &Acceptor, waited: Duration) {
                (**self).limit_waited(acceptor, waited);
            }

            fn connection_started(&self, connection: &ConnectionHandle) {
                (**self).connection_started(connection);
            }

            fn connection_labelled(
                &self,
                connection: &ConnectionHandle,
                key: &'static str,
                value: &str,
            ) {
                (**self).connection_labelled(connection, key, value);
            }

            fn connection_upgraded(
                &self,
                connection: &ConnectionHandle,
                upgrade: &'static str,
                took: Duration,
            ) {
                (**self).connection_upgraded(connection, upgrade, took);
            }

            fn connection_ended(&self, connection: &ConnectionHandle, outcome: &Outcome) {
                (**self).connection_ended(connection, outcome);
            }

            fn drain_started(&self, open: usize) {
                (**self).drain_started(open);
            }

            fn drain_ended(&self, report: &DrainReport) {
                (**self).drain_ended(report);
            }
        }
    )+};
}

delegate_observer!(Arc, Box);
