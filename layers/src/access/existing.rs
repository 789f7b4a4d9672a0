//! Changes that apply to open connections.

use super::Access;
use crate::open_connections::OpenConnections;
use reagent::{ConnectionHandle, Rejected};
use std::{
    net::IpAddr,
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// The reason of a [`Rejected`] connection that was open when a change of the rules or a ban
/// [applied](Access::apply) to it.
pub const REVOKED: &str = "access revoked";

/// The open connections of clients, each with the settings that it was admitted by.
pub(super) type OpenClients = OpenConnections<Option<IpAddr>, Arc<Access>>;

impl Access {
    /// Ends a connection that is no longer admitted. Returns `true` if it is ended, or spared by a
    /// dry run.
    fn recheck(&self, connection: &ConnectionHandle) -> bool {
        let refuses = || self.refuses_connection(connection);
        match catch_unwind(AssertUnwindSafe(refuses)) {
            Ok(None) => return false,
            Ok(Some(_)) if self.spares(connection, REVOKED) => {}
            Ok(Some(_)) => {
                if self.how().is_reset() {
                    connection.reset_on_close();
                }
                connection.reject(Rejected::new(REVOKED));
            }
            // A panic of the check ends the connection and nothing else.
            Err(_) => connection.abort(),
        }
        true
    }

    /// Checks all open connections to which changes apply.
    pub(super) fn recheck_all(&self) {
        recheck_all(&self.open);
    }
}

fn recheck_all(open: &OpenClients) {
    open.visit_all(|(connection, access)| access.recheck(connection));
}

/// The tables of connections to which new bans apply.
#[derive(Default)]
pub(super) struct Watchers(Mutex<Vec<Weak<OpenClients>>>);

impl Watchers {
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<OpenClients>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, open: &Arc<OpenClients>) {
        let mut tables = self.lock();
        tables.retain(|known| known.strong_count() > 0 && known.as_ptr() != Arc::as_ptr(open));
        tables.push(Arc::downgrade(open));
    }

    fn tables(&self) -> Vec<Arc<OpenClients>> {
        self.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Checks the open connections of clients whose addresses are in this range.
    pub(super) fn recheck(&self, ips: RangeInclusive<IpAddr>) {
        for open in self.tables() {
            let ips = Some(*ips.start())..=Some(*ips.end());
            open.visit(ips, |(connection, access)| access.recheck(connection));
        }
    }

    /// Checks the open connections of all clients.
    pub(super) fn recheck_all(&self) {
        self.tables().iter().for_each(|open| recheck_all(open));
    }
}
