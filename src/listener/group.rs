//! The listening sockets of one address, and who drives which.

use super::Listener;
use crate::{Addr, sync::Mutex};
use std::{
    io,
    sync::MutexGuard,
    task::{Context, Poll, ready},
};
use tokio::task::coop::poll_proceed;

/// The queues of one address: one that the acceptors share, or with `SO_REUSEPORT` one for each.
///
/// It keeps a handle to each queue of its own, so a queue outlives the acceptors that drive it:
/// shrinking the pool hands it to one that stays, and pausing leaves its clients in it.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) index: u32,
    addr: Addr,
    is_fixed: bool,
    slots: Mutex<Vec<Slot>>,
}

#[derive(Debug)]
struct Slot {
    /// `None` once it is lost for good.
    listener: Option<Box<dyn Listener>>,
    /// Counts its reopenings, so that of many acceptors that lost it only one reopens it.
    generation: u64,
    /// Why it does not accept at the moment.
    lost: Option<String>,
}

impl Slot {
    fn new(listener: Box<dyn Listener>) -> Self {
        Slot {
            listener: Some(listener),
            generation: 0,
            lost: None,
        }
    }
}

impl Group {
    pub(crate) fn new(index: u32, listener: Box<dyn Listener>) -> Self {
        Group {
            index,
            addr: listener.local_addr(),
            is_fixed: listener.is_local_addr_fixed(),
            slots: Mutex::new(vec![Slot::new(listener)]),
        }
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock()
    }

    pub(crate) fn addr(&self) -> &Addr {
        &self.addr
    }

    pub(crate) fn fixed_addr(&self) -> Option<&Addr> {
        self.is_fixed.then_some(&self.addr)
    }

    /// Why it does not accept, if so.
    pub(crate) fn lost(&self) -> Option<String> {
        self.slots().iter().find_map(|slot| slot.lost.clone())
    }

    /// Whether every queue is lost and none can come back.
    pub(crate) fn is_dead(&self) -> bool {
        self.slots().iter().all(|slot| slot.listener.is_none())
    }

    /// Makes a queue for each of `acceptors`, where each can have one, and says whether there are more
    /// now.
    pub(crate) fn grow(&self, acceptors: usize) -> io::Result<bool> {
        let mut slots = self.slots();
        let before = slots.len();
        while slots.len() < acceptors {
            let first = slots[0].listener.as_ref();
            let Some(another) = first.and_then(|first| first.try_another()) else {
                break;
            };
            slots.push(Slot::new(another?));
        }
        Ok(slots.len() > before)
    }

    /// Gives acceptor `index` of `acceptors` its queues: the one of its number and those whose
    /// acceptor has left, or where there are fewer queues than acceptors, one that it shares.
    pub(crate) fn assign(
        &self,
        index: usize,
        acceptors: usize,
        sources: &mut Sources,
    ) -> io::Result<()> {
        let slots = self.slots();
        let mine = |slot: usize| slot % acceptors == index || slot == index % slots.len();
        sources.list.retain(|source| {
            mine(source.slot) && slots[source.slot].generation == source.generation
        });
        for (number, slot) in slots.iter().enumerate().filter(|(number, _)| mine(*number)) {
            let Some(listener) = &slot.listener else {
                continue;
            };
            if !sources.list.iter().any(|source| source.slot == number) {
                let generation = slot.generation;
                let listener = listener.try_clone()?;
                sources.list.push(Source {
                    slot: number,
                    generation,
                    listener,
                });
            }
        }
        Ok(())
    }

    /// Says that a queue does not accept any more, and whether that is news.
    pub(crate) fn lose(&self, source: &Source, error: &io::Error) -> bool {
        let slot = &mut self.slots()[source.slot];
        slot.generation == source.generation && slot.lost.replace(error.to_string()).is_none()
    }

    /// Replaces a lost queue by a new one at its address, and says whether it was not another acceptor
    /// that did so; `None` where that cannot be, and it is gone for good.
    pub(crate) fn reopen(&self, source: &Source) -> Option<io::Result<bool>> {
        let slot = &mut self.slots()[source.slot];
        if slot.generation != source.generation {
            return Some(Ok(false));
        }
        let Some(reopened) = slot
            .listener
            .as_ref()
            .and_then(|listener| listener.try_reopen())
        else {
            slot.listener = None;
            slot.generation += 1;
            return None;
        };
        Some(reopened.map(|listener| {
            *slot = Slot {
                generation: slot.generation + 1,
                ..Slot::new(listener)
            };
            true
        }))
    }

    /// Closes the queues; on Linux, clients still in them are reset.
    pub(crate) fn close(&self) {
        for slot in self.slots().iter_mut() {
            slot.listener = None;
        }
    }
}

/// An acceptor's handle to one queue.
#[derive(Debug)]
pub(crate) struct Source {
    slot: usize,
    generation: u64,
    pub(crate) listener: Box<dyn Listener>,
}

/// The queues that an acceptor drives.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) list: Vec<Source>,
    next: usize,
}

impl Sources {
    /// Waits until one of them may have a client, and says which; each gets its turn.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<(usize, io::Result<()>)> {
        // An acceptor that never finds its queue empty still lets others have their turn.
        let turn = ready!(poll_proceed(cx));
        let count = self.list.len();
        for offset in 0..count {
            let index = (self.next + offset) % count;
            if let Poll::Ready(ready) = self.list[index].listener.poll_ready(cx) {
                self.next = index + 1;
                turn.made_progress();
                return Poll::Ready((index, ready));
            }
        }
        Poll::Pending
    }
}
