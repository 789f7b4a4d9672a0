//! What the server knows of one connection, shared by everything that holds a part of it.

use super::{
    phase::{PHASES, Phase},
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
        atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// Facts that are set and never taken back.
pub(crate) mod flag {
    pub(crate) const SECURE: u16 = 1;
    pub(crate) const DRAINING: u16 = 2;
    pub(crate) const ABORTED: u16 = 4;
    pub(crate) const RESET: u16 = 8;
    // How the stream of the accepted client saw it go.
    pub(crate) const CLIENT_RESET: u16 = 16;
    pub(crate) const CLIENT_EOF: u16 = 32;
    pub(crate) const CLIENT_TIMED_OUT: u16 = 64;
    pub(crate) const CLOSED: u16 = 128;
    // How an encrypting layer saw its input end.
    pub(crate) const TRUNCATED: u16 = 256;
    pub(crate) const DELIMITED: u16 = 512;
    // What an encrypting layer may say when it is dropped.
    pub(crate) const OPEN_ENDED: u16 = 1024;
    pub(crate) const LAST_WRITE: u16 = 2048;
}

/// Runs with the outcome when the connection is over.
pub(crate) type OnEnd = Box<dyn FnOnce(&Outcome) + Send>;

pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) accepted_at: Instant,
    pub(crate) socket_addr: Addr,
    /// Index of the listener that accepted it.
    pub(crate) listener: u32,
    /// Its row in the table of open connections.
    pub(super) row: u32,
    /// The parts whose end ends the connection: its stream, and its handler's future.
    pub(super) open: OpenCount,
    flags: AtomicU16,
    phase: AtomicU8,
    pub(crate) peer_addr: OnceLock<Box<Addr>>,
    pub(crate) local_addr: OnceLock<Box<Addr>>,
    pub(crate) bytes_read: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    /// The socket, where layers cannot hide it.
    pub(crate) socket: SocketCell,
    /// Notified of a drain and of the end.
    pub(crate) changed: Notify,
    cold: Mutex<Cold>,
    pub(crate) registrar: Arc<Registrar>,
}

/// What is behind a lock, since it changes seldom: mostly once, or never.
#[derive(Default)]
pub(crate) struct Cold {
    pub(crate) outcome: Option<Outcome>,
    /// Wakes the task that polls the handler's future, so that it sees an abort.
    pub(super) task: Option<Waker>,
    /// Its place in the limit of its server, until the end begins.
    pub(crate) place: Option<Place>,
    /// What most connections have not.
    pub(crate) rare: Option<Box<Rare>>,
}

#[derive(Default)]
pub(crate) struct Rare {
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) mailbox: Option<Arc<dyn Any + Send + Sync>>,
    pub(crate) guards: Vec<Box<dyn Any + Send>>,
    /// The longest limit of the upgrades so far, and how long the client has taken for all of them.
    pub(crate) opening: (Duration, Duration),
    /// Run with the outcome before observers are told of it.
    pub(crate) on_end: Vec<OnEnd>,
}

impl Cold {
    /// Returns whether the end has begun and its outcome is settled: the place is taken then.
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
        listener: u32,
        socket_addr: Addr,
        place: Place,
        stream: Option<PlainStream>,
    ) -> Self {
        Entry {
            id,
            accepted_at: Instant::now(),
            socket_addr,
            listener,
            row,
            open: OpenCount::of_one(),
            flags: AtomicU16::new(0),
            phase: AtomicU8::new(Phase::Accepted as u8),
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

    pub(crate) fn has(&self, flag: u16) -> bool {
        self.flags.load(Ordering::Acquire) & flag != 0
    }

    pub(crate) fn set(&self, flag: u16) {
        self.flags.fetch_or(flag, Ordering::AcqRel);
    }

    pub(crate) fn phase(&self) -> Phase {
        // Whatever a part of it does that is left: it ends once.
        match self.has(flag::CLOSED) {
            true => Phase::Closed,
            false => PHASES[usize::from(self.phase.load(Ordering::Relaxed))],
        }
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// No code of users runs while this is held: what is replaced or taken is dropped afterwards.
    pub(crate) fn cold(&self) -> MutexGuard<'_, Cold> {
        self.cold.lock()
    }

    /// Has an abort wake the task of the handler's future. The task is to look for one after this, or it
    /// may miss it.
    pub(crate) fn register_task(&self, waker: &Waker) {
        let old = {
            let mut cold = self.cold();
            match &cold.task {
                Some(known) if known.will_wake(waker) => return,
                _ => cold.task.replace(waker.clone()),
            }
        };
        // It may be the last that holds a task, whose drop may run anything.
        drop(old);
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.has(flag::ABORTED)
    }

    /// Returns whether an abort fails what its stream is asked for.
    pub(super) fn is_cut_off(&self) -> bool {
        const BOTH: u16 = flag::ABORTED | flag::LAST_WRITE;
        self.flags.load(Ordering::Acquire) & BOTH == flag::ABORTED
    }

    /// Returns whether its end, if it comes now, cannot be taken for that of a message.
    pub(super) fn ends_between_messages(&self) -> bool {
        self.has(flag::DELIMITED) && !self.has(flag::OPEN_ENDED)
    }

    /// Records that the client's own stream saw it go.
    pub(crate) fn client_went(&self, how: Disconnect) {
        self.set(client_flag(how));
    }

    /// Returns whether the client's own stream saw it go in this way.
    pub(crate) fn has_client_gone(&self, how: Disconnect) -> bool {
        self.has(client_flag(how))
    }

    /// Returns whether input ended that may be the beginning of more, and nobody but its end says so.
    pub(crate) fn is_input_in_doubt(&self) -> bool {
        self.has(flag::TRUNCATED) && !self.has(flag::DELIMITED)
    }

    /// Has `callback` run once, with the final outcome, when the connection is over: at once if it is.
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

    /// Records how the handler's future ended; without a word, nobody polled it to its end. The first
    /// call decides.
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

    pub(crate) fn abort(&self) {
        self.set(flag::ABORTED);
        let (old, task) = {
            let mut cold = self.cold();
            let went_well = matches!(&cold.outcome, Some(Outcome::Completed | Outcome::Drained));
            // Its handler ended well, but the connection does not, unless it has ended already.
            let old = match went_well && !cold.is_over() {
                true => cold.outcome.replace(Outcome::Aborted),
                false => None,
            };
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
