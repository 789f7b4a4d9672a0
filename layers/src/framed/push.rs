//! Frames that answer no request.

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

/// A handle for sending frames that answer no request: messages of a topic, or the parts of a long
/// answer.
///
/// It sends to one client. It is cheap to clone and does not keep the connection open.
///
/// Pushed frames are written between answers. A frame pushed before an answer was ready is written
/// before that answer. So a confirmation that is pushed before the first message of a topic arrives
/// before it, and whatever arrives after the answer to an unsubscription was pushed after that
/// answer.
///
/// ```
/// use reagent::{BoxError, Server, testing::MemoryListener};
/// use reagent_layers::framed::{Client, FramedMakeLayer, codec::LinesCodec};
/// use std::convert::Infallible;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tower::service_fn;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let make = service_fn(|client: Client<String>| async move {
///     let service = service_fn(move |line: String| {
///         let pusher = client.pusher();
///         async move {
///             for n in 1..=2 {
///                 // Waits while the client reads slowly.
///                 pusher.push(format!("{line} {n}")).await?;
///             }
///             Ok::<_, BoxError>("done".to_owned())
///         }
///     });
///     Ok::<_, Infallible>((LinesCodec::new(), service))
/// });
/// let (listener, clients) = MemoryListener::new();
/// let server = Server::new(listener).layer(FramedMakeLayer::new()).start(make).await?;
///
/// let mut client = clients.connect().await?;
/// client.write_all(b"part\n").await?;
/// client.shutdown().await?;
/// let mut answers = String::new();
/// client.read_to_string(&mut answers).await?;
/// assert_eq!(answers, "part 1\npart 2\ndone\n");
/// # Ok(())
/// # }
/// ```
pub struct Pusher<R> {
    shared: Arc<Shared<R>>,
}

struct Shared<R> {
    queue: Mutex<Queue<R>>,
    capacity: usize,
    /// Whether something is in the queue, readable without its lock.
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
    /// Pushes a frame if there is room for it.
    ///
    /// # Errors
    ///
    /// Returns the frame in either case:
    ///
    /// - [`PushError::Full`] if as many frames as [`pushes`](super::FramedMakeLayer::pushes) wait
    ///   already, because the client reads too slowly. Drop the frame, or end the connection by its
    ///   [handle](super::Client::handle).
    /// - [`PushError::Closed`] if the connection is closed.
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

    /// Pushes a frame, and waits while there is no room for it.
    ///
    /// A request can push parts of its answer this way, and return the last one.
    ///
    /// # Errors
    ///
    /// [`PushError::Closed`] with the frame, if the connection is closed. Never
    /// [`PushError::Full`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the frame has not been pushed and is dropped
    /// with it.
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

    /// Returns whether the connection is closed and takes no more frames.
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

/// The connection's end of the queue.
pub(super) struct Pushed<R> {
    pusher: Pusher<R>,
    /// The memory of the frames taken out last, to be used again.
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

    /// Takes all frames out of the queue, which makes room in it.
    pub(super) fn take(&mut self) -> impl Iterator<Item = R> + '_ {
        let shared = &self.pusher.shared;
        let mut queue = shared.queue();
        std::mem::swap(&mut queue.frames, &mut self.spare);
        shared.has_frames.store(false, Ordering::Release);
        drop(queue);
        shared.room.notify_waiters();
        self.spare.drain(..)
    }

    /// Returns whether there are frames. If not, the next push wakes the task.
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

/// The error of pushing a frame. It holds the frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PushError<R> {
    /// The queue is full, since the client reads too slowly.
    Full(R),
    /// The connection is closed.
    Closed(R),
}

impl<R> fmt::Display for PushError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PushError::Full(_) => "push queue is full",
            PushError::Closed(_) => "connection is closed",
        })
    }
}

// Without the frame, which may be secret and need not be `Debug`.
impl<R> fmt::Debug for PushError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PushError::Full(_) => "Full",
            PushError::Closed(_) => "Closed",
        })
    }
}

impl<R> Error for PushError<R> {}
