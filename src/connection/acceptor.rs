//! The description of one acceptor.

use super::ListenerEntry;
use crate::addr::Addr;
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// One acceptor of a server, as a `MakeService` and an [`Observer`](crate::Observer) receive it.
///
/// Two of them are equal if they have the same number and accept for the same listener.
#[derive(Clone)]
#[non_exhaustive]
pub struct Acceptor {
    /// The number of the acceptor among those of its listener, starting at 0.
    pub index: usize,
    /// The address that it accepts clients on.
    pub local_addr: Addr,
    /// The [label](crate::Bind::label) of its listener.
    pub label: Option<Arc<str>>,
    listener: Arc<ListenerEntry>,
}

impl Acceptor {
    pub(crate) fn new(index: usize, listener: &Arc<ListenerEntry>) -> Self {
        Acceptor {
            index,
            local_addr: listener.addr.clone(),
            label: listener.label.clone(),
            listener: listener.clone(),
        }
    }

    /// Returns the value of type `T` that was passed to [`Bind::state`](crate::Bind::state) of the
    /// listener.
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        let state = self.listener.state.get::<Arc<T>>();
        state.map(|state| &**state)
    }
}

impl PartialEq for Acceptor {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && Arc::ptr_eq(&self.listener, &other.listener)
    }
}

impl Eq for Acceptor {}

impl Hash for Acceptor {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.index, Arc::as_ptr(&self.listener)).hash(state);
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Acceptor");
        debug.field("index", &self.index);
        debug.field("local_addr", &self.local_addr);
        if let Some(label) = &self.label {
            debug.field("label", label);
        }
        debug.finish()
    }
}
