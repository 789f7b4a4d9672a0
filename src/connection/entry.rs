//! What the server knows of one connection, shared by all who hold a part of it.

use super::ConnectionHandle;
use crate::sync::{Mutex, WakerSlot};
use crate::{Addr, Disconnect, Outcome, limit::Permit, panic::catch, server::Shared};
use std::{
    any::Any,
    fmt,
    sync::{
        Arc, MutexGuard, OnceLock,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};
use tokio::{sync::Notify, time::Instant};

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Phase {
    /// Accepted, and not yet with a handler.
    Accepted,
    /// In a layer that turns it into another connection: a handshake, a header.
    Upgrading,
    /// With its handler.
    Handling,
    /// Its handler is done, and something else holds the stream: an HTTP upgrade, another task.
    Detached,
    /// Over.
    Closed,
}

impl Phase {
    /// Returns one word for each, as a label: `accepted`, `upgrading`, `handling`, `detached`,
    /// `closed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Accepted => "accepted",
            Phase::Upgrading => "upgrading",
            Phase::Handling => "handling",
            Phase::Detached => "detached",
            Phase::Closed => "closed",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const PHASES: [Phase; 5] = [
    Phase::Accepted,
    Phase::Upgrading,
    Phase::Handling,
    Phase::Detached,
    Phase::Closed,
];

/// Facts that are set and never taken back.
pub(crate) mod flag {
    pub(crate) const SECURE: u8 = 1;
    pub(crate) const DRAINING: u8 = 2;
    pub(crate) const ABORTED: u8 = 4;
    pub(crate) const RESET: u8 = 8;
    // How the stream of the accepted client saw it go.
    pub(crate) const CLIENT_RESET: u8 = 16;
    pub(crate) const CLIENT_EOF: u8 = 32;
    pub(crate) const CLIENT_TIMED_OUT: u8 = 64;
}

/// Runs with the outcome when the connection is over.
pub(crate) type OnEnd = Box<dyn FnOnce(&Outcome) + Send>;

pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) accepted_at: Instant,
    pub(crate) socket_addr: Addr,
    /// Index of the address it came in by.
    pub(crate) listener: u32,
    /// Holders whose end ends the connection: its stream, and its handler's future.
    legs: AtomicU8,
    flags: AtomicU8,
    phase: AtomicU8,
    pub(crate) peer_addr: OnceLock<Box<Addr>>,
    pub(crate) local_addr: OnceLock<Box<Addr>>,
    pub(crate) bytes_read: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    /// Who polls the handler's future, and who polls the stream: they see an abort.
    pub(crate) task: WakerSlot,
    pub(crate) reader: WakerSlot,
    pub(crate) writer: WakerSlot,
    /// Told of a drain and of the end.
    pub(crate) changed: Notify,
    cold: Mutex<Cold>,
    pub(crate) server: Arc<Shared>,
}

/// What changes seldom: once, or never.
#[derive(Default)]
pub(crate) struct Cold {
    pub(crate) outcome: Option<Outcome>,
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) mailbox: Option<Arc<dyn Any + Send + Sync>>,
    pub(crate) guards: Vec<Box<dyn Any + Send>>,
    /// Run with the outcome before observers are told of it.
    pub(crate) on_end: Vec<OnEnd>,
    /// What the socket said before a layer wrapped it.
    pub(crate) socket_local_addr: Option<Box<Addr>>,
    pub(crate) permit: Option<Permit>,
}

impl Cold {
    /// Whether the end has begun and its outcome is settled: the permit is taken then.
    pub(crate) fn is_over(&self) -> bool {
        self.permit.is_none()
    }
}

impl Entry {
    pub(crate) fn new(
        server: Arc<Shared>,
        id: u64,
        listener: u32,
        socket_addr: Addr,
        permit: Permit,
    ) -> Self {
        Entry {
            id,
            accepted_at: Instant::now(),
            socket_addr,
            listener,
            legs: AtomicU8::new(0),
            flags: AtomicU8::new(0),
            phase: AtomicU8::new(Phase::Accepted as u8),
            peer_addr: OnceLock::new(),
            local_addr: OnceLock::new(),
            bytes_read: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            task: WakerSlot::default(),
            reader: WakerSlot::default(),
            writer: WakerSlot::default(),
            changed: Notify::new(),
            cold: Mutex::new(Cold {
                permit: Some(permit),
                ..Cold::default()
            }),
            server,
        }
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Acquire) & flag != 0
    }

    pub(crate) fn set(&self, flag: u8) {
        self.flags.fetch_or(flag, Ordering::AcqRel);
    }

    pub(crate) fn phase(&self) -> Phase {
        PHASES[usize::from(self.phase.load(Ordering::Relaxed))]
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn cold(&self) -> MutexGuard<'_, Cold> {
        self.cold.lock()
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.has(flag::ABORTED)
    }

    /// Records that the client's own stream saw it go.
    pub(crate) fn client_went(&self, how: Disconnect) {
        self.set(client_flag(how));
    }

    /// Whether the client's own stream saw it go in this way.
    pub(crate) fn has_client_gone(&self, how: Disconnect) -> bool {
        self.has(client_flag(how))
    }

    /// Has `callback` run once, with the outcome that everybody is told, when the connection is over:
    /// at once if it is.
    pub(crate) fn on_end(&self, callback: OnEnd) {
        let mut cold = self.cold();
        if !cold.is_over() {
            cold.on_end.push(callback);
            return;
        }
        let outcome = cold.outcome.clone();
        drop(cold);
        callback(&outcome.unwrap_or_else(Outcome::dropped));
    }

    /// The handler's future is done, or goes. The first to say how is right; without a word, nobody
    /// polled it to its end.
    pub(crate) fn detach(&self, outcome: Option<Outcome>) {
        let outcome = outcome.unwrap_or_else(Outcome::dropped);
        let mut cold = self.cold();
        // An outcome holds a user's error, whose drop may ask for this connection.
        let unused = match cold.outcome {
            Some(_) => Some(outcome),
            None => cold.outcome.replace(outcome),
        };
        drop(cold);
        self.set_phase(Phase::Detached);
        let _ = catch(|| drop(unused));
    }

    pub(crate) fn drain(&self) {
        self.set(flag::DRAINING);
        self.changed.notify_waiters();
    }

    pub(crate) fn abort(&self) {
        self.set(flag::ABORTED);
        let mut cold = self.cold();
        // Its handler had ended well, but that is not how it ends; unless it has ended and that was told.
        // What went wrong before is the cause, and stays.
        let is_well = matches!(cold.outcome, Some(Outcome::Completed | Outcome::Drained));
        if is_well && self.phase() == Phase::Detached && !cold.is_over() {
            cold.outcome = Some(Outcome::Aborted);
        }
        drop(cold);
        self.task.wake();
        self.reader.wake();
        self.writer.wake();
    }
}

fn client_flag(how: Disconnect) -> u8 {
    match how {
        Disconnect::Reset => flag::CLIENT_RESET,
        Disconnect::Eof => flag::CLIENT_EOF,
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

/// One of the two holders that keep a connection counted: its stream, and its handler's future.
#[derive(Debug)]
pub(crate) struct OpenGuard(ConnectionHandle);

impl OpenGuard {
    pub(crate) fn new(handle: &ConnectionHandle) -> OpenGuard {
        handle.entry.legs.fetch_add(1, Ordering::Relaxed);
        OpenGuard(handle.clone())
    }

    pub(crate) fn handle(&self) -> &ConnectionHandle {
        &self.0
    }

    pub(crate) fn entry(&self) -> &Entry {
        &self.0.entry
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        let entry = &self.0.entry;
        if entry.legs.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let permit = entry.server.ended(&self.0);
        entry.set_phase(Phase::Closed);
        entry.changed.notify_waiters();
        // Last of all, so that nobody ever sees one connection too many.
        drop(permit);
    }
}
