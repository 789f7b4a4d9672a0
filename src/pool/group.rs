//! The listening sockets of one address.

#[cfg(unix)]
use crate::listener::SocketListener;
use crate::{
    addr::Addr,
    connection::ListenerEntry,
    listener::{Listener, Opened, Source, Turns},
    panic::{catch, discard},
    sync::Mutex,
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// The queues of one address: one that its acceptors share, or with `SO_REUSEPORT` one for each
/// acceptor.
///
/// The group keeps a handle to each queue, so a queue outlives the acceptors that drive it.
#[derive(Debug)]
pub(crate) struct Group {
    id: u32,
    entry: Arc<ListenerEntry>,
    is_paused: AtomicBool,
    is_closing: AtomicBool,
    /// Whether a successor may have its queues, until it is decided whose they are.
    is_offered: AtomicBool,
    /// Whether a successor takes it over, or has done so.
    is_leaving: AtomicBool,
    /// The address as it was asked for, by which a successor finds it.
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "sockets are handed over on Unix only")
    )]
    requested: String,
    slots: Mutex<Vec<Slot>>,
}

/// The place of one queue.
#[derive(Debug)]
struct Slot {
    /// `None` once it is lost for good or closed. It has a separate lock, since a listener is user
    /// code; nothing that only reads the state of a slot takes this lock.
    handle: Option<Handle>,
    /// Counts the times it was reopened, so that only one of the acceptors that lost it reopens it.
    generation: u64,
    /// The reason why it does not accept at the moment.
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
pub(crate) enum OpenedSlot {
    Source(Source),
    /// The slot is lost, and will be reopened.
    Lost,
    /// The slot is lost for good.
    Dead,
}

/// The result of reopening a slot.
pub(crate) enum Reopened {
    Now,
    /// Another acceptor has reopened it already.
    Before,
    /// It cannot be reopened.
    Never,
}

impl Group {
    pub(crate) fn new(id: u32, opened: Opened, entry: Arc<ListenerEntry>) -> Self {
        Group {
            id,
            entry,
            is_paused: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            is_offered: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
            requested: opened.requested,
            slots: Mutex::new(opened.queues.into_iter().map(Slot::new).collect()),
        }
    }

    /// Returns the number of the group, which is unique within a server.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn entry(&self) -> &Arc<ListenerEntry> {
        &self.entry
    }

    pub(crate) fn addr(&self) -> &Addr {
        &self.entry.addr
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Relaxed)
    }

    /// Pauses or resumes the group. Its acceptors follow when the control changes.
    pub(crate) fn pause(&self, is_paused: bool) {
        self.is_paused.store(is_paused, Ordering::Relaxed);
    }

    /// Returns whether the group refuses new clients, because it is about to be closed.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// Returns whether a successor may have the queues. Until that is decided, none may be added or
    /// closed.
    pub(crate) fn is_offered(&self) -> bool {
        self.is_offered.load(Ordering::Acquire)
    }

    #[cfg(unix)]
    pub(crate) fn offer(&self, is_offered: bool) {
        self.is_offered.store(is_offered, Ordering::Release);
    }

    /// Returns whether a successor accepts here, or is about to.
    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Acquire)
    }

    /// Leaves the group to a successor, or takes it back. Its acceptors follow when the control
    /// changes.
    #[cfg(unix)]
    pub(crate) fn leave(&self, is_leaving: bool) {
        self.is_leaving.store(is_leaving, Ordering::Release);
    }

    #[cfg(unix)]
    pub(crate) fn requested(&self) -> &str {
        &self.requested
    }

    /// Calls `visit` for each queue that is a socket, and returns whether all of them are.
    #[cfg(unix)]
    pub(crate) fn visit_sockets(&self, mut visit: impl FnMut(&SocketListener)) -> bool {
        let handles = self.live().into_iter().filter_map(|slot| self.handle(slot));
        let mut are_sockets = true;
        for (handle, _) in handles {
            // A listener that wraps a socket is user code.
            let visited = catch(|| match handle.lock().as_socket() {
                Some(socket) => {
                    visit(socket);
                    true
                }
                None => false,
            });
            are_sockets &= visited.unwrap_or(false);
        }
        are_sockets
    }

    /// Refuses clients that are not in the queues yet, so that none is lost when the queues are
    /// closed after the last of them was accepted. Returns how long the queues should remain open.
    pub(crate) fn refuse_new(&self) -> Duration {
        // Before the queues refuse, since their acceptors may see that as an error.
        self.is_closing.store(true, Ordering::Release);
        let handles = self.live().into_iter().filter_map(|slot| self.handle(slot));
        let times = handles.map(|(handle, _)| catch(|| handle.lock().refuse_new()));
        times.flatten().max().unwrap_or_default()
    }

    /// Returns the reason why the address does not accept at the moment, if any.
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

    /// Returns whether every queue is lost for good.
    pub(crate) fn is_dead(&self) -> bool {
        self.live().is_empty()
    }

    fn handle(&self, slot: usize) -> Option<(Handle, u64)> {
        let slots = self.slots.lock();
        let slot = slots.get(slot)?;
        Some((slot.handle.clone()?, slot.generation))
    }

    /// Opens a queue for each of `acceptors`, if there can be more than one.
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

    /// Opens a handle to the queue of a slot, for an acceptor on this core.
    pub(crate) fn open(&self, number: usize, core: usize) -> io::Result<OpenedSlot> {
        let (handle, generation, turns) = {
            let slots = self.slots.lock();
            match slots.get(number) {
                Some(slot) if slot.lost.is_some() && slot.handle.is_some() => {
                    return Ok(OpenedSlot::Lost);
                }
                Some(Slot {
                    handle: Some(handle),
                    generation,
                    turns,
                    ..
                }) => (handle.clone(), *generation, turns.clone()),
                _ => return Ok(OpenedSlot::Dead),
            }
        };
        let listener = handle.lock().try_clone()?;
        let turn = turns.of(core);
        Ok(OpenedSlot::Source(Source::new(
            number, generation, listener, turn,
        )))
    }

    /// Records that a queue no longer accepts, and returns whether that is news.
    pub(crate) fn lose(&self, number: usize, generation: u64, error: &io::Error) -> bool {
        let reason = error.to_string();
        let mut slots = self.slots.lock();
        let slot = &mut slots[number];
        slot.generation == generation && slot.lost.replace(reason).is_none()
    }

    /// Replaces a lost queue by a new one at the same address.
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

    /// Closes the queues. On Linux, clients that are still in them are reset.
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
