//! The listening sockets of one address.

use super::{Listener, Source, sources::Turns};
use crate::{
    addr::Addr,
    panic::{catch, discard},
    sync::Mutex,
};
use std::{io, sync::Arc};

/// The queues of one address: one that its acceptors share, or with `SO_REUSEPORT` one for each.
///
/// It keeps a handle to each queue of its own, so a queue outlives the acceptors that drive it.
#[derive(Debug)]
pub(crate) struct Group {
    index: u32,
    addr: Addr,
    is_fixed: bool,
    slots: Mutex<Vec<Slot>>,
}

/// The place of one queue.
#[derive(Debug)]
struct Slot {
    /// `None` once it is lost for good, or closed. Behind a lock of its own, which nobody takes who only
    /// asks how a slot fares: a listener is a user's code.
    handle: Option<Handle>,
    /// Counts its reopenings, so that of many acceptors that lost it only one reopens it.
    generation: u64,
    /// Why it does not accept at the moment.
    lost: Option<String>,
    turns: Arc<Turns>,
}

type Handle = Arc<Mutex<Box<dyn Listener>>>;

impl Slot {
    fn new(listener: Box<dyn Listener>) -> Self {
        Slot {
            handle: Some(Arc::new(Mutex::new(listener))),
            generation: 0,
            lost: None,
            turns: Arc::default(),
        }
    }
}

/// The result of opening a source of a slot.
pub(crate) enum Opened {
    Source(Source),
    /// It is lost, and to be reopened.
    Lost,
    /// It is lost for good.
    Dead,
}

/// The result of reopening a slot.
pub(crate) enum Reopened {
    Now,
    /// Another acceptor did it.
    Before,
    /// It cannot be done.
    Never,
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

    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    pub(crate) fn addr(&self) -> &Addr {
        &self.addr
    }

    pub(crate) fn is_fixed(&self) -> bool {
        self.is_fixed
    }

    /// Returns why it does not accept, if it does not.
    pub(crate) fn lost(&self) -> Option<String> {
        self.slots.lock().iter().find_map(|slot| slot.lost.clone())
    }

    /// Returns the slots that are not lost for good.
    pub(crate) fn live(&self) -> Vec<usize> {
        let slots = self.slots.lock();
        let live = slots.iter().enumerate();
        live.filter_map(|(number, slot)| slot.handle.as_ref().map(|_| number))
            .collect()
    }

    /// Returns whether every queue is lost and none can come back.
    pub(crate) fn is_dead(&self) -> bool {
        self.live().is_empty()
    }

    fn handle(&self, slot: usize) -> Option<(Handle, u64)> {
        let slots = self.slots.lock();
        let slot = slots.get(slot)?;
        Some((slot.handle.clone()?, slot.generation))
    }

    /// Makes a queue for each of `acceptors`, where each can have one.
    pub(crate) fn grow(&self, acceptors: usize) -> io::Result<()> {
        while self.slots.lock().len() < acceptors {
            let first = self.live().first().and_then(|slot| self.handle(*slot));
            let another = first.and_then(|(handle, _)| handle.lock().try_another());
            let Some(another) = another.transpose()? else {
                break;
            };
            let another = Slot::new(another);
            self.slots.lock().push(another);
        }
        Ok(())
    }

    /// Opens a handle to a slot's queue, for an acceptor on this core.
    pub(crate) fn open(&self, number: usize, core: usize) -> io::Result<Opened> {
        let (handle, generation, turns) = {
            let slots = self.slots.lock();
            match slots.get(number) {
                Some(slot) if slot.lost.is_some() && slot.handle.is_some() => {
                    return Ok(Opened::Lost);
                }
                Some(Slot {
                    handle: Some(handle),
                    generation,
                    turns,
                    ..
                }) => (handle.clone(), *generation, turns.clone()),
                _ => return Ok(Opened::Dead),
            }
        };
        let listener = handle.lock().try_clone()?;
        let turn = turns.of(core);
        Ok(Opened::Source(Source::new(
            number, generation, listener, turn,
        )))
    }

    /// Notes that a queue does not accept any more, and returns whether that is news.
    pub(crate) fn lose(&self, number: usize, generation: u64, error: &io::Error) -> bool {
        let reason = error.to_string();
        let mut slots = self.slots.lock();
        let slot = &mut slots[number];
        slot.generation == generation && slot.lost.replace(reason).is_none()
    }

    /// Replaces a lost queue by a new one at its address.
    pub(crate) fn reopen(&self, number: usize) -> io::Result<Reopened> {
        let Some((handle, generation)) = self.handle(number) else {
            return Ok(Reopened::Never);
        };
        let mut listener = handle.lock();
        {
            let slots = self.slots.lock();
            let slot = &slots[number];
            if slot.generation != generation || slot.lost.is_none() {
                return Ok(Reopened::Before);
            }
        }
        let reopened = listener.try_reopen().transpose()?;
        let is_back = reopened.is_some();
        let old = reopened.map(|reopened| std::mem::replace(&mut *listener, reopened));
        let gone = {
            let mut slots = self.slots.lock();
            let slot = &mut slots[number];
            slot.generation += 1;
            match is_back {
                true => {
                    slot.lost = None;
                    None
                }
                false => slot.handle.take(),
            }
        };
        drop(listener);
        drop((old, gone));
        Ok(match is_back {
            true => Reopened::Now,
            false => Reopened::Never,
        })
    }

    /// Returns whether a client is known to wait in a slot.
    pub(crate) fn has_client(&self, number: usize) -> bool {
        let Some((handle, _)) = self.handle(number) else {
            return false;
        };
        let pending = catch(|| handle.lock().pending());
        pending.ok().flatten().unwrap_or(false)
    }

    /// Closes the queues; on Linux, clients still in them are reset.
    pub(crate) fn close(&self) {
        let handles: Vec<_> = {
            let mut slots = self.slots.lock();
            slots
                .iter_mut()
                .filter_map(|slot| slot.handle.take())
                .collect()
        };
        handles.into_iter().for_each(discard);
    }
}
