//! The shared record of one connection, which everything that holds a part of it refers to.

use super::{
    ListenerEntry,
    in_use::InUse,
    phase::{PHASES, Phase},
    rate::{Marks, Rate},
    registry::{Registrar, Registry},
    socket::SocketCell,
};
use crate::listener::PlainStream;
use crate::{
    addr::Addr,
    limit::Place,
    outcome::{Disconnect, Outcome},
    panic::discard,
    sync::{Mutex, OpenCount},
};
use std::{
    any::Any,
    fmt,
    sync::{
        Arc, MutexGuard, OnceLock,
        atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// Facts that are set once and never cleared, but for one.
pub(crate) mod flag {
    pub(crate) const SECURE: u16 = 1;
    pub(crate) const DRAINING: u16 = 2;
    pub(crate) const ABORTED: u16 = 4;
    pub(crate) const RESET: u16 = 8;
    // How the client went away, as seen by the accepted stream.
    pub(crate) const CLIENT_RESET: u16 = 16;
    pub(crate) const CLIENT_EOF: u16 = 32;
    pub(crate) const CLIENT_TIMED_OUT: u16 = 64;
    pub(crate) const CLOSED: u16 = 128;
    // How the input ended, as seen by a layer that encrypts.
    pub(crate) const TRUNCATED: u16 = 256;
    pub(crate) const DELIMITED: u16 = 512;
    // What an encrypting layer may say when it is dropped.
    pub(crate) const OPEN_ENDED: u16 = 1024;
    pub(crate) const LAST_WRITE: u16 = 2048;
    // Whether code of the connection has learned that it is to finish.
    pub(crate) const HEARD_DRAIN: u16 = 4096;
    // Whether the last attempt to write had to wait for the client. It is cleared.
    pub(crate) const WRITE_WAITS: u16 = 8192;
    // Whether a wrapper of the stream needs the bytes in memory.
    pub(crate) const OPAQUE: u16 = 16384;
}

/// Called with the outcome when the connection is over.
pub(crate) type OnEnd = Box<dyn FnOnce(&Outcome) + Send>;

pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) accepted_at: Instant,
    pub(crate) socket_addr: Addr,
    /// The row of the connection in the table of open connections.
    pub(super) row: u32,
    /// Counts the parts that keep the connection open: its stream and its handler's future.
    pub(super) open: OpenCount,
    flags: AtomicU16,
    phase: AtomicU8,
    /// The second of the last read or write, by the clock of the registry. It changes under the
    /// lock of `cold`.
    active_at: AtomicU32,
    pub(super) in_use: InUse,
    pub(crate) peer_addr: OnceLock<Box<Addr>>,
    pub(crate) local_addr: OnceLock<Box<Addr>>,
    pub(crate) bytes_read: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    /// The socket. It is here so that handles reach it through all layers.
    pub(crate) socket: SocketCell,
    /// Notified when the connection is asked to finish, and when it is over.
    pub(crate) changed: Notify,
    cold: Mutex<Cold>,
    pub(crate) registrar: Arc<Registrar>,
}

/// State behind a lock, since it rarely changes: mostly once or never.
#[derive(Default)]
pub(crate) struct Cold {
    pub(crate) outcome: Option<Outcome>,
    /// Wakes the task that polls the handler's future, so that it sees an abort.
    pub(super) task: Option<Waker>,
    /// The connection's place in the limits, until it begins to end.
    pub(crate) place: Option<Place>,
    /// State that most connections do not have.
    pub(crate) rare: Option<Box<Rare>>,
}

#[derive(Default)]
pub(crate) struct Rare {
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) mailbox: Option<Arc<dyn Any + Send + Sync>>,
    pub(crate) guards: Vec<Box<dyn Any + Send>>,
    /// The longest limit of the upgrades so far, and the time that the client has taken for all of
    /// them.
    pub(crate) opening: (Duration, Duration),
    /// Called with the outcome before observers are.
    pub(crate) on_end: Vec<OnEnd>,
    /// The bytes at the beginnings of the last seconds.
    marks: Marks,
}

impl Cold {
    /// Returns whether the end has begun and the outcome is final. The place has been taken by
    /// then.
    pub(crate) fn is_over(&self) -> bool {
        self.place.is_none()
    }

    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

impl Entry {
    pub(crate) fn new(
        registrar: Arc<Registrar>,
        id: u64,
        row: u32,
        socket_addr: Addr,
        place: Place,
        stream: Option<PlainStream>,
    ) -> Self {
        Entry {
            id,
            accepted_at: Instant::now(),
            socket_addr,
            row,
            open: OpenCount::of_one(),
            flags: AtomicU16::new(0),
            phase: AtomicU8::new(Phase::Accepted as u8),
            active_at: AtomicU32::new(registrar.registry.activity_clock.now()),
            in_use: InUse::default(),
            peer_addr: OnceLock::new(),
            local_addr: OnceLock::new(),
            bytes_read: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            socket: SocketCell::new(stream),
            changed: Notify::new(),
            cold: Mutex::new(Cold {
                place: Some(place),
                ..Cold::default()
            }),
            registrar,
        }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registrar.registry
    }

    pub(crate) fn listener(&self) -> &ListenerEntry {
        &self.registrar.listener
    }

    pub(crate) fn has(&self, flag: u16) -> bool {
        self.flags.load(Ordering::Acquire) & flag != 0
    }

    pub(crate) fn set(&self, flag: u16) {
        self.flags.fetch_or(flag, Ordering::AcqRel);
    }

    /// Records that a wrapper of the stream needs the bytes in memory.
    pub(super) fn set_opaque(&self) {
        if !self.has(flag::OPAQUE) {
            self.set(flag::OPAQUE);
        }
    }

    /// Notes whether a write has to wait for the client, which seldom changes.
    pub(super) fn note_write(&self, waits: bool) {
        if self.flags.load(Ordering::Relaxed) & flag::WRITE_WAITS != 0 {
            if !waits {
                self.flags.fetch_and(!flag::WRITE_WAITS, Ordering::AcqRel);
            }
        } else if waits {
            self.set(flag::WRITE_WAITS);
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        // Whatever a remaining part does: a connection ends once.
        match self.has(flag::CLOSED) {
            true => Phase::Closed,
            false => PHASES[usize::from(self.phase.load(Ordering::Relaxed))],
        }
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Notes that bytes are read or written. They must not have been counted yet.
    pub(super) fn touch(&self) {
        let now = self.registry().activity_clock.now();
        if self.active_at.load(Ordering::Relaxed) != now {
            self.begin_second(now);
        }
    }

    /// Notes that the connection is active for the first time in a second.
    #[cold]
    fn begin_second(&self, now: u32) {
        let mut cold = self.cold();
        let last = self.active_at.swap(now, Ordering::Relaxed);
        cold.rare().marks.add(now.wrapping_sub(last), self.bytes());
    }

    /// Returns the numbers of bytes read and written so far.
    fn bytes(&self) -> [u64; 2] {
        [&self.bytes_read, &self.bytes_written].map(|bytes| bytes.load(Ordering::Relaxed))
    }

    /// Returns the bytes per second since the beginning of the previous second; `None` if nobody
    /// asked for the activity to be noted.
    pub(super) fn rate(&self) -> Option<Rate> {
        let clock = &self.registry().activity_clock;
        let (now, moved) = {
            let cold = self.cold();
            let now = clock.now();
            let last = self.active_at.load(Ordering::Relaxed);
            let marks = cold
                .rare
                .as_ref()
                .map(|rare| rare.marks)
                .unwrap_or_default();
            (now, marks.moved(now.wrapping_sub(last), self.bytes()))
        };
        let began = clock.time(now.saturating_sub(1))?.max(self.accepted_at);
        Some(Rate::new(moved, began.elapsed()))
    }

    /// Returns the time of the last read or write; `None` if nobody asked for it.
    pub(super) fn last_active_at(&self) -> Option<Instant> {
        let active_at = self.active_at.load(Ordering::Relaxed);
        let active_at = self.registry().activity_clock.time(active_at)?;
        Some(active_at.max(self.accepted_at))
    }

    /// User code must not run while this lock is held: values that are replaced or taken are
    /// dropped afterwards.
    pub(crate) fn cold(&self) -> MutexGuard<'_, Cold> {
        self.cold.lock()
    }

    /// Registers the task of the handler's future to be woken by an abort. The task must check for
    /// an abort after this call, or it may miss one.
    pub(crate) fn register_task(&self, waker: &Waker) {
        let old = {
            let mut cold = self.cold();
            match &cold.task {
                Some(known) if known.will_wake(waker) => return,
                _ => cold.task.replace(waker.clone()),
            }
        };
        // It may be the last reference to a task, whose drop may run anything.
        drop(old);
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.has(flag::ABORTED)
    }

    /// Returns whether an abort fails reads and writes of its stream.
    pub(super) fn is_cut_off(&self) -> bool {
        const BOTH: u16 = flag::ABORTED | flag::LAST_WRITE;
        self.flags.load(Ordering::Acquire) & BOTH == flag::ABORTED
    }

    /// Returns whether an end that comes now cannot be mistaken for the end of a message.
    pub(super) fn ends_between_messages(&self) -> bool {
        self.has(flag::DELIMITED) && !self.has(flag::OPEN_ENDED)
    }

    /// Records how the client went away, as seen by its own stream.
    pub(crate) fn client_went(&self, how: Disconnect) {
        self.set(client_flag(how));
    }

    /// Returns whether the client's own stream saw it go away in this way.
    pub(crate) fn has_client_gone(&self, how: Disconnect) -> bool {
        self.has(client_flag(how))
    }

    /// Returns whether the input may have been cut short, in a protocol that cannot tell.
    pub(crate) fn is_input_in_doubt(&self) -> bool {
        self.has(flag::TRUNCATED) && !self.has(flag::DELIMITED)
    }

    /// Calls `callback` once with the final outcome, when the connection is over or at once if it
    /// is already.
    pub(crate) fn on_end(&self, callback: OnEnd) {
        let mut cold = self.cold();
        if !cold.is_over() {
            cold.rare().on_end.push(callback);
            return;
        }
        let outcome = cold.outcome.clone();
        drop(cold);
        callback(&outcome.unwrap_or_else(Outcome::dropped));
    }

    /// Records how the handler's future ended; `None` means that it was dropped before its end.
    /// Only the first call has an effect.
    pub(crate) fn detach(&self, outcome: Option<Outcome>) {
        let late = {
            let mut cold = self.cold();
            match &cold.outcome {
                Some(_) => outcome,
                None => {
                    cold.outcome = Some(outcome.unwrap_or_else(Outcome::dropped));
                    None
                }
            }
        };
        discard(late);
        self.set_phase(Phase::Detached);
    }

    pub(crate) fn drain(&self) {
        self.set(flag::DRAINING);
        self.changed.notify_waiters();
    }

    /// Returns whether the connection is asked to finish, to code that acts on it. That it has
    /// asked is recorded, for the report of the drain.
    pub(crate) fn hears_drain(&self) -> bool {
        let hears = self.has(flag::DRAINING);
        if hears && !self.has(flag::HEARD_DRAIN) {
            self.set(flag::HEARD_DRAIN);
        }
        hears
    }

    pub(crate) fn abort(&self) {
        self.end(Outcome::Aborted);
    }

    /// Ends the connection from outside, with this outcome unless it has failed already.
    pub(crate) fn end(&self, outcome: Outcome) {
        let (old, task) = {
            let mut cold = self.cold();
            let applies = match &cold.outcome {
                _ if cold.is_over() => false,
                // A layer may abort a connection and then return the reason as its error.
                None => !matches!(outcome, Outcome::Aborted),
                // The handler ended well, but the connection does not.
                Some(outcome) => matches!(outcome, Outcome::Completed | Outcome::Drained),
            };
            let old = match applies {
                true => cold.outcome.replace(outcome),
                false => Some(outcome),
            };
            // A task that sees the flag also finds the outcome.
            self.set(flag::ABORTED);
            (old, cold.task.take())
        };
        discard(old);
        task.into_iter().for_each(Waker::wake);
        self.socket.wake();
    }
}

fn client_flag(how: Disconnect) -> u16 {
    match how {
        Disconnect::Reset => flag::CLIENT_RESET,
        Disconnect::Eof => flag::CLIENT_EOF,
        Disconnect::Truncated => flag::TRUNCATED,
        Disconnect::TimedOut => flag::CLIENT_TIMED_OUT,
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("socket_addr", &self.socket_addr)
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}
