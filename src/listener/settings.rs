//! The settings of one listener.

use super::SocketOptions;
use crate::{extensions::Extensions, limit::Limit};
use std::sync::Arc;

type Change = Box<dyn FnOnce(&mut SocketOptions) + Send>;

/// The settings of the listeners of one [`Bind`](super::Bind).
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) label: Option<Arc<str>>,
    pub(crate) max_connections: Option<usize>,
    /// The limit within that of the server which other listeners may share.
    pub(crate) limit: Option<Limit>,
    /// The number of places of this limit, or else of the server's, that only these listeners use.
    pub(crate) reserve: usize,
    pub(crate) state: Extensions,
    /// The changes to the options of the server.
    pub(super) options: Vec<Change>,
}

impl Settings {
    /// Returns the options of these listeners, which are those of the server unless they were
    /// changed.
    pub(super) fn options(&mut self, server: &Arc<SocketOptions>) -> Arc<SocketOptions> {
        let mut options = server.clone();
        for change in self.options.drain(..) {
            change(Arc::make_mut(&mut options));
        }
        options
    }
}
