//! The state of the requests of a connection: how many there are, and whether they wait for the
//! client.
//!
//! hyper knows when it waits for a head, but reports it only through a time limit for heads, which
//! costs a timer for each request. So requests note when they begin and end, and bytes that come in
//! between belong to a head.

use hyper::body::Incoming;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{
        AtomicBool, AtomicU8, AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// The state of an HTTP/1 connection or an HTTP/2 stream, shared by everything that serves it. An
/// HTTP/2 connection has one too, for its writes.
#[derive(Debug, Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
    /// The number of request bodies that were read to their end or dropped.
    bodies_ended: AtomicU64,
    /// A [`BodyState`].
    body: AtomicU8,
    /// Whether the last body was dropped before its end.
    is_unread: AtomicBool,
    /// Whether a piece of the answer waits for the client to take it.
    is_blocked: AtomicBool,
    /// Whether the head of the answer is ready (HTTP/2).
    is_answered: AtomicBool,
    is_upgraded: AtomicBool,
    /// Changes whenever something that was waited for moves.
    moves: AtomicU32,
    dropped: Mutex<DroppedBody>,
}

/// The state of the body of the current request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum BodyState {
    /// There is no body, or it was read to its end or dropped.
    Ended = 0,
    /// There is a body, and nobody waits for it.
    Unread = 1,
    /// The service waits for the next piece of the body.
    Awaited = 2,
}

/// The destination of a body that is dropped before its end.
#[derive(Debug, Default)]
enum DroppedBody {
    /// Back to hyper.
    #[default]
    Leave,
    /// To its request, which checks whether the rest has arrived.
    Keep,
    Kept(Incoming),
}

/// The reason to wait for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stalled {
    /// The client does not take its answer, or does not send the body that its answer waits for.
    Request,
    /// The client does not send, but its answer has begun (HTTP/2): both sides may be silent.
    Conversation,
}

/// Adds 1 without a locked instruction, since only the connection's task adds.
fn add(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

impl Activity {
    fn dropped(&self) -> MutexGuard<'_, DroppedBody> {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) {
        self.is_answered.store(false, Relaxed);
        self.is_unread.store(false, Relaxed);
    }

    /// Notes that the current request has a body.
    pub(super) fn begin_body(&self, keeps_dropped: bool) {
        self.body.store(BodyState::Unread as u8, Relaxed);
        if keeps_dropped {
            *self.dropped() = DroppedBody::Keep;
        }
    }

    pub(super) fn body(&self) -> BodyState {
        match self.body.load(Acquire) {
            0 => BodyState::Ended,
            1 => BodyState::Unread,
            _ => BodyState::Awaited,
        }
    }

    pub(super) fn await_body(&self) {
        self.body.store(BodyState::Awaited as u8, Relaxed);
    }

    /// Notes that a piece of the body was read.
    pub(super) fn move_body(&self) {
        self.body.store(BodyState::Unread as u8, Relaxed);
        self.moves.fetch_add(1, Relaxed);
    }

    pub(super) fn end_body(&self) {
        self.moves.fetch_add(1, Relaxed);
        self.bodies_ended.fetch_add(1, Relaxed);
        self.body.store(BodyState::Ended as u8, Release);
    }

    /// Notes that a body was dropped before its end, and keeps it if its request wants it.
    pub(super) fn drop_body(&self, body: Option<Incoming>) {
        self.is_unread.store(true, Relaxed);
        {
            let mut dropped = self.dropped();
            if let (DroppedBody::Keep, Some(body)) = (&*dropped, body) {
                *dropped = DroppedBody::Kept(body);
            }
        }
        self.end_body();
    }

    /// Takes the body of the current request, if it was dropped before its end. Later ones go to
    /// hyper.
    pub(super) fn take_dropped(&self) -> Option<Incoming> {
        if !self.is_unread() {
            return None;
        }
        match std::mem::take(&mut *self.dropped()) {
            DroppedBody::Kept(body) => Some(body),
            DroppedBody::Leave | DroppedBody::Keep => None,
        }
    }

    /// Notes that the rest of a dropped body has been read.
    pub(super) fn read_rest(&self) {
        self.is_unread.store(false, Relaxed);
    }

    /// Returns whether the body of the last request was dropped before its end.
    pub(super) fn is_dropped(&self) -> bool {
        self.is_unread.load(Relaxed)
    }

    /// Returns whether the body of the last request was not read to its end.
    pub(super) fn is_unread(&self) -> bool {
        self.is_dropped() || self.body() != BodyState::Ended
    }

    pub(super) fn answer(&self) {
        self.is_answered.store(true, Relaxed);
    }

    pub(super) fn upgrade(&self) {
        self.is_upgraded.store(true, Relaxed);
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.is_upgraded.load(Relaxed)
    }

    pub(super) fn block(&self) {
        self.is_blocked.store(true, Relaxed);
    }

    pub(super) fn unblock(&self) {
        if self.is_blocked.load(Relaxed) {
            self.moves.fetch_add(1, Relaxed);
            self.is_blocked.store(false, Relaxed);
        }
    }

    pub(super) fn moves(&self) -> u32 {
        self.moves.load(Relaxed)
    }

    /// Returns the reason to wait for the client, if there is one.
    pub(super) fn stalled(&self) -> Option<Stalled> {
        if self.is_blocked.load(Relaxed) {
            return Some(Stalled::Request);
        }
        if self.body() != BodyState::Awaited {
            return None;
        }
        Some(match self.is_answered.load(Relaxed) {
            false => Stalled::Request,
            true => Stalled::Conversation,
        })
    }

    /// Returns whether the first request is still to come.
    pub(super) fn has_no_request(&self) -> bool {
        self.begun.load(Relaxed) == 0
    }

    /// Returns whether a request is being served or its body read.
    fn is_busy(&self) -> bool {
        self.begun.load(Relaxed) != self.ended.load(Relaxed) || self.body() != BodyState::Ended
    }

    /// Returns a number that changes whenever a request is over.
    fn ended(&self) -> u64 {
        self.ended.load(Relaxed) + self.bodies_ended.load(Relaxed)
    }
}

/// A request being served, until the last piece of its answer.
pub(super) struct Busy(Arc<Activity>);

impl Busy {
    pub(super) fn new(activity: Arc<Activity>) -> Self {
        activity.begin();
        add(&activity.begun);
        Busy(activity)
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        add(&self.0.ended);
    }
}

mod head;
pub(super) use head::{HeadWatch, Wait};
