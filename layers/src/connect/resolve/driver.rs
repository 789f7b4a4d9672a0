//! The future that refreshes names before they expire.

use super::{
    AnyResolve, Cached,
    cached::{ResolveError, Settings, ask},
    table::{Lookup, Table},
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::{
    collections::HashSet,
    fmt,
    future::{Future, pending},
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};

/// The number of names that are refreshed at the same time.
const REFRESHES: usize = 16;

/// The time limit for one lookup.
const LIMIT: Duration = Duration::from_secs(20);

/// The future that refreshes the names of a [`Cached`] resolver, so that callers do not wait for
/// lookups.
///
/// Spawn it on the runtime, once. It looks a name up again when nine tenths of its time to live have
/// passed, if it was used since the last lookup, at most 16 names at a time and each for at most
/// 20 s. A lookup that fails is repeated [later](Cached::retry_after), for as long as the name is
/// used. The future completes when all clones of the resolver are gone.
#[must_use = "futures do nothing unless they are spawned or polled"]
pub struct CacheDriver(Pin<Box<dyn Future<Output = ()> + Send>>);

impl CacheDriver {
    pub(super) fn new(cached: &Cached) -> Self {
        let work = Work {
            resolver: cached.resolver.clone(),
            settings: cached.settings,
            table: Arc::downgrade(&cached.table),
            changed: cached.table.changed.clone(),
        };
        CacheDriver(Box::pin(work.run()))
    }
}

impl Future for CacheDriver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for CacheDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheDriver")
    }
}

struct Work {
    resolver: Arc<dyn AnyResolve>,
    settings: Settings,
    /// Weak, since the resolvers decide when the driver ends.
    table: Weak<Table>,
    changed: Arc<Notify>,
}

impl Work {
    async fn run(self) {
        let mut refreshes = FuturesUnordered::new();
        let mut under_way: HashSet<Arc<str>> = HashSet::new();
        loop {
            // Not held while waiting.
            let Some(table) = self.table.upgrade() else {
                return;
            };
            let (due, next) = table.due(Instant::now());
            drop(table);
            for (name, lookup) in due {
                if refreshes.len() < REFRESHES && under_way.insert(name.clone()) {
                    refreshes.push(self.refresh(name, lookup));
                }
            }
            let next = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                Some(name) = refreshes.next() => {
                    under_way.remove(&name);
                }
                () = self.changed.notified() => {}
                () = next => {}
            }
        }
    }

    /// Looks a name up, and returns it.
    async fn refresh(&self, name: Arc<str>, lookup: Lookup) -> Arc<str> {
        let store = |known| {
            if let Some(table) = self.table.upgrade() {
                table.store(&name, &known, &self.settings, Instant::now());
            }
        };
        let looking = async {
            let _turn = lookup.turn.lock().await;
            let table = self.table.upgrade();
            if table.is_some_and(|table| table.since(&name, &lookup).is_none()) {
                store(ask(&*self.resolver, &name).await);
            }
        };
        if timeout(LIMIT, looking).await.is_err() {
            store(Err(ResolveError::too_slow()));
        }
        name
    }
}
