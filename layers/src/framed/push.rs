//! Frames that are no answers.

use std::{
    collections::VecDeque,
    error::Error,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
};
use tokio::sync::Notify;

/// Sends frames to one client that it has not asked for: messages of a topic, news, the parts of a long answer.
/// Cheap to clone, and it keeps nothing open.
///
/// They are written between answers. What was pushed before an answer was ready goes before it; so the
/// confirmation of a subscription that is pushed goes before the first message, and what came after an
/// unsubscription was answered was pushed after it.
pub struct Pusher<R> {
    shared: Arc<Shared<R>>,
}

struct Shared<R> {
    queue: Mutex<Queue<R>>,
    capacity: usize,
    /// Whether something is in the queue, to be seen without its lock.
    has_frames: AtomicBool,
    room: Notify,
}

struct Queue<R> {
    frames: VecDeque<R>,
    waker: Option<Waker>,
    is_closed: bool,
}

impl<R> Shared<R> {
    fn queue(&self) -> MutexGuard<'_, Queue<R>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Pusher<R> {
    /// Pushes a frame if there is room for it. A client that reads too slowly has none: drop the frame, or end
    /// the connection by its [handle](super::Client::handle).
    pub fn try_push(&self, frame: R) -> Result<(), PushError<R>> {
        let mut queue = self.shared.queue();
        if queue.is_closed {
            return Err(PushError::Closed(frame));
        }
        if queue.frames.len() >= self.shared.capacity {
            return Err(PushError::Full(frame));
        }
        queue.frames.push_back(frame);
        self.shared.has_frames.store(true, Ordering::Release);
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Pushes a frame, and waits while there is no room for it. A request may push its own answer so, part by
    /// part, and end it by what it returns.
    ///
    /// Fails with [`PushError::Closed`] alone. Cancel safe: the frame is lost with the future, or was pushed.
    pub async fn push(&self, mut frame: R) -> Result<(), PushError<R>> {
        loop {
            let room = self.shared.room.notified();
            let mut room = std::pin::pin!(room);
            room.as_mut().enable();
            match self.try_push(frame) {
                Err(PushError::Full(back)) => frame = back,
                result => return result,
            }
            room.await;
        }
    }

    /// Returns whether the connection takes no more frames.
    pub fn is_closed(&self) -> bool {
        self.shared.queue().is_closed
    }
}

impl<R> Clone for Pusher<R> {
    fn clone(&self) -> Self {
        Pusher {
            shared: self.shared.clone(),
        }
    }
}

impl<R> fmt::Debug for Pusher<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pusher")
            .field("capacity", &self.shared.capacity)
            .finish_non_exhaustive()
    }
}

/// The connection's end of it.
pub(super) struct Pushed<R> {
    pusher: Pusher<R>,
    /// What was taken out of the queue last, for its room.
    spare: VecDeque<R>,
}

impl<R> Pushed<R> {
    pub(super) fn new(capacity: usize) -> Self {
        let queue = Queue {
            frames: VecDeque::new(),
            waker: None,
            is_closed: false,
        };
        let shared = Shared {
            queue: Mutex::new(queue),
            capacity,
            has_frames: AtomicBool::new(false),
            room: Notify::new(),
        };
        Pushed {
            pusher: Pusher {
                shared: Arc::new(shared),
            },
            spare: VecDeque::new(),
        }
    }

    pub(super) fn pusher(&self) -> Pusher<R> {
        self.pusher.clone()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        !self.pusher.shared.has_frames.load(Ordering::Acquire)
    }

    /// All that is in the queue, which has room again.
    pub(super) fn take(&mut self) -> impl Iterator<Item = R> + '_ {
        let shared = &self.pusher.shared;
        let mut queue = shared.queue();
        std::mem::swap(&mut queue.frames, &mut self.spare);
        shared.has_frames.store(false, Ordering::Release);
        drop(queue);
        shared.room.notify_waiters();
        self.spare.drain(..)
    }

    /// Whether there is something; where there is nothing, the next to come wakes.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let mut queue = self.pusher.shared.queue();
        if queue.frames.is_empty() {
            match &mut queue.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        !queue.frames.is_empty()
    }
}

impl<R> Drop for Pushed<R> {
    fn drop(&mut self) {
        let mut queue = self.pusher.shared.queue();
        queue.is_closed = true;
        queue.waker = None;
        let frames = std::mem::take(&mut queue.frames);
        drop(queue);
        drop(frames);
        self.pusher.shared.room.notify_waiters();
    }
}

/// A frame was not pushed; here it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PushError<R> {
    /// The queue is full.
    Full(R),
    /// The connection is over.
    Closed(R),
}

impl<R> fmt::Display for PushError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PushError::Full(_) => "push queue is full",
            PushError::Closed(_) => "connection is over",
        })
    }
}

// Without the frame, which may be a secret and need not be `Debug`.
impl<R> fmt::Debug for PushError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PushError::Full(_) => "Full",
            PushError::Closed(_) => "Closed",
        })
    }
}

impl<R> Error for PushError<R> {}
