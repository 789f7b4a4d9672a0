//! What the handles of a set, its connections and its driver share.

use super::{
    key::Key,
    report::Report,
    set::{Admission, After, NoUpstream, Set, Taken},
    settings::Settings,
    stats::StateChange,
};
use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

pub(super) type OnChange = Arc<dyn Fn(&StateChange) + Send + Sync>;
pub(super) type OnPanic = Arc<dyn Fn(&str) + Send + Sync>;

/// The functions of the program that are called when something happens.
#[derive(Clone, Default)]
pub(super) struct Events {
    pub(super) on_change: Option<OnChange>,
    pub(super) on_panic: Option<OnPanic>,
}

pub(super) struct Shared<T> {
    pub(super) settings: Settings,
    set: Mutex<Set<T>>,
    events: Events,
    /// Tells the drivers when the set has other upstreams, and is closed when the set is gone.
    pub(super) changed: watch::Sender<()>,
}

/// Why a client was given no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    NoUpstream,
    QueueFull,
    QueueTimeout,
}

impl<T> Shared<T> {
    pub(super) fn new(set: Set<T>, events: Events) -> Self {
        Shared {
            settings: set.settings.clone(),
            set: Mutex::new(set),
            events,
            changed: watch::Sender::default(),
        }
    }

    /// Acts on the set. Whatever follows from that is done before the lock is released, except for
    /// what runs code of the program.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Set<T>, Instant) -> R) -> R {
        let now = Instant::now();
        let (result, after) = {
            let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
            set.refresh(now);
            let result = act(&mut set, now);
            (result, set.settle(now))
        };
        let After {
            wakers,
            changes,
            gone,
        } = after;
        drop(gone);
        wakers.into_iter().for_each(std::task::Waker::wake);
        if let Some(on_change) = &self.events.on_change {
            changes.iter().for_each(|change| on_change(change));
        }
        result
    }

    /// Reports that code of the program has panicked in a driver.
    pub(super) fn panicked(&self, message: &str) {
        if let Some(on_panic) = &self.events.on_panic {
            on_panic(message);
        }
    }

    /// Takes a place at an upstream that is not in `tried`, and waits for it if there is no room.
    pub(super) async fn take(
        self: &Arc<Self>,
        key: Key,
        tried: &[u64],
        deadline: Instant,
    ) -> Result<Taken<T>, NoPlace> {
        let number = match self.with(|set, now| set.admit(key, tried, now)) {
            Admission::Taken(taken) => return Ok(taken),
            Admission::Waits(number) => number,
            Admission::QueueFull => return Err(NoPlace::QueueFull),
            Admission::NoUpstream => return Err(NoPlace::NoUpstream),
        };
        let waiting = Waiting {
            shared: self,
            number,
        };
        loop {
            // No event says that an ejection has ended.
            let next_return = self.with(|set, _| set.next_return());
            let wake_at = next_return.map_or(deadline, |at| at.min(deadline));
            let answered =
                poll_fn(|cx| self.with(|set, _| set.queue.poll(waiting.number, cx.waker())));
            match timeout_at(wake_at, answered).await {
                Ok(Ok(taken)) => return Ok(taken),
                Ok(Err(NoUpstream)) => return Err(NoPlace::NoUpstream),
                Err(_) if wake_at >= deadline => return Err(NoPlace::QueueTimeout),
                Err(_) => {}
            }
        }
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

/// A client in the queue.
struct Waiting<'a, T> {
    shared: &'a Shared<T>,
    number: u64,
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        self.shared.with(|set, now| {
            if let Some(taken) = set.queue.forget(self.number) {
                set.report(taken.number, Report::Cancelled, now);
            }
        });
    }
}
