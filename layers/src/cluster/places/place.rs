//! The place of one connection.

use super::table::Table;
use std::{fmt, net::IpAddr, sync::Arc};

/// A place that is given back when it is dropped.
pub struct Place {
    table: Arc<Table>,
    client: IpAddr,
}

impl Place {
    /// Makes the place of a connection that the table has counted.
    pub(super) fn new(table: Arc<Table>, client: IpAddr) -> Self {
        Place { table, client }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.leave(self.client);
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}
