//! The queues that one acceptor drives.

use super::Listener;
use crate::{
    limit::{Acquire, Limit, Permit},
    sync::{Mutex, WakerSlot},
};
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker, ready},
};
use tokio::task::coop::poll_proceed;

/// The turns at one queue, by core.
///
/// Of the acceptors on a core that share a queue, one has the turn. It waits at the queue and is
/// woken for a client, and it passes the turn on when it has to wait for its service. Acceptors on
/// different cores do not take turns, since a core may be blocked.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<BTreeMap<usize, Limit>>);

impl Turns {
    pub(crate) fn of(&self, core: usize) -> Limit {
        let mut turns = self.0.lock();
        turns.entry(core).or_insert_with(|| Limit::new(1)).clone()
    }
}

/// The handle of an acceptor to one queue.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) slot: usize,
    pub(crate) generation: u64,
    pub(crate) listener: Box<dyn Listener>,
    turn: Limit,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Waiting(Acquire),
    /// The acceptor has the turn.
    Holds {
        _turn: Permit,
    },
}

impl Source {
    pub(crate) fn new(
        slot: usize,
        generation: u64,
        listener: Box<dyn Listener>,
        turn: Limit,
    ) -> Self {
        Source {
            slot,
            generation,
            listener,
            place: Place::Waiting(turn.acquire()),
            turn,
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Place::Waiting(acquire) = &mut self.place {
            let turn = ready!(std::future::Future::poll(Pin::new(acquire), cx));
            self.place = Place::Holds { _turn: turn };
        }
        self.listener.poll_ready(cx)
    }

    /// Lets another acceptor of this core drive the queue.
    pub(crate) fn pass(&mut self) {
        self.place = Place::Waiting(self.turn.acquire());
    }
}

/// The queues that an acceptor drives.
///
/// If there is more than one, each is polled only after it was woken, so idle ones cost nothing.
#[derive(Debug)]
pub(crate) struct Sources {
    list: BTreeMap<usize, Driven>,
    woken: Arc<Woken>,
}

#[derive(Debug)]
struct Driven {
    source: Source,
    flag: Arc<Flag>,
    waker: Waker,
}

/// The slots to poll, each listed once, in the order in which they were woken.
#[derive(Debug)]
struct Woken {
    slots: Mutex<VecDeque<usize>>,
    acceptor: Arc<WakerSlot>,
}

#[derive(Debug)]
struct Flag {
    slot: usize,
    is_queued: AtomicBool,
    woken: Arc<Woken>,
}

impl Flag {
    fn queue(&self) {
        if !self.is_queued.swap(true, Ordering::AcqRel) {
            self.woken.slots.lock().push_back(self.slot);
        }
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.queue();
        self.woken.acceptor.wake();
    }
}

impl Sources {
    /// Creates a set that wakes `acceptor`, which must be registered there before it polls.
    pub(crate) fn new(acceptor: Arc<WakerSlot>) -> Self {
        Sources {
            list: BTreeMap::new(),
            woken: Arc::new(Woken {
                slots: Mutex::default(),
                acceptor,
            }),
        }
    }

    pub(crate) fn slots(&self) -> Vec<usize> {
        self.list.keys().copied().collect()
    }

    pub(crate) fn get(&mut self, slot: usize) -> Option<&mut Source> {
        self.list.get_mut(&slot).map(|driven| &mut driven.source)
    }

    pub(crate) fn insert(&mut self, source: Source) {
        let slot = source.slot;
        let flag = Arc::new(Flag {
            slot,
            is_queued: AtomicBool::new(false),
            woken: self.woken.clone(),
        });
        flag.queue();
        let waker = Waker::from(flag.clone());
        let driven = Driven {
            source,
            flag,
            waker,
        };
        self.list.insert(slot, driven);
    }

    pub(crate) fn remove(&mut self, slot: usize) -> Option<Source> {
        self.list.remove(&slot).map(|driven| driven.source)
    }

    /// Removes the queues of all other slots.
    pub(crate) fn retain(&mut self, slots: &[usize]) {
        self.list.retain(|slot, _| slots.contains(slot));
    }

    /// Lets other acceptors drive the queues that are shared with them.
    pub(crate) fn pass(&mut self) {
        for driven in self.list.values_mut() {
            driven.source.pass();
            // The next poll joins the line for the turn.
            driven.flag.queue();
        }
    }

    /// Waits until one of the queues may have a client, and returns its slot. Queues are served in
    /// turn.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<(usize, io::Result<()>)> {
        // An acceptor that never finds its queue empty must still let other tasks run.
        let budget = ready!(poll_proceed(cx));
        loop {
            let Some(slot) = self.woken.slots.lock().pop_front() else {
                return Poll::Pending;
            };
            let Some(driven) = self.list.get_mut(&slot) else {
                continue;
            };
            // Before the poll, so that a wake-up during it is not lost.
            driven.flag.is_queued.store(false, Ordering::Release);
            let mut own = Context::from_waker(&driven.waker);
            if let Poll::Ready(ready) = driven.source.poll_ready(&mut own) {
                // It stays ready until it has been found empty.
                driven.flag.queue();
                budget.made_progress();
                return Poll::Ready((slot, ready));
            }
        }
    }
}
