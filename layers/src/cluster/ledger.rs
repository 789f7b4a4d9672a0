//! What the driver needs of a limit.

use super::{shared::Shared, store::Claim};
use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::time::Instant;

/// What one limit holds and wants of the store.
pub(super) trait Ledger: fmt::Debug + Send + Sync {
    /// Adds the claims that are due, at most `room` of them.
    ///
    /// A client has at most one claim under way at a time, so that none overtakes another.
    fn collect(&self, now: Instant, room: usize, claims: &mut Vec<(IpAddr, Claim)>);

    /// Notes what was granted for a claim that was sent at `sent`, or that it is unknown.
    fn settle(self: Arc<Self>, client: IpAddr, sent: Instant, granted: Option<u32>);

    /// Returns when the next claim is due.
    fn due(&self) -> Option<Instant>;

    /// The store can be reached again: everything that is held has to be renewed now.
    fn renew_all(&self);

    /// The store cannot be reached: those who wait for it are decided without it.
    fn give_up(&self);

    /// Begins to give back everything that is not in use.
    fn release(&self);

    /// Returns whether nothing is held that is not in use.
    fn is_settled(&self) -> bool;
}

/// The limits of a cluster by name. The driver ends when the registry is dropped, that is, with the
/// last handle and limit.
#[derive(Debug)]
pub(super) struct Registry {
    shared: Arc<Shared>,
    ledgers: Mutex<Vec<(String, Weak<dyn Ledger>)>>,
}

impl Registry {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Registry {
            shared: shared.clone(),
            ledgers: Mutex::default(),
        }
    }

    /// Returns whether the name was free.
    pub(super) fn insert(&self, name: &str, ledger: &Arc<dyn Ledger>) -> bool {
        let mut ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        ledgers.retain(|(_, ledger)| ledger.strong_count() > 0);
        if ledgers.iter().any(|(other, _)| other == name) {
            return false;
        }
        ledgers.push((name.to_owned(), Arc::downgrade(ledger)));
        true
    }

    pub(super) fn all(&self) -> Vec<Arc<dyn Ledger>> {
        let ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        ledgers
            .iter()
            .filter_map(|(_, ledger)| ledger.upgrade())
            .collect()
    }

    pub(super) fn each(&self, mut act: impl FnMut(&dyn Ledger)) {
        self.all().iter().for_each(|ledger| act(&**ledger));
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.wake.notify_one();
    }
}
