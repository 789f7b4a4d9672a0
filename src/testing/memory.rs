//! A listener without sockets.

use super::wakers::Wakers;
use crate::{
    addr::Addr,
    listener::{Accepted, Listener, Transport},
    sync::Mutex,
};
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};
use tokio::{
    io::{DuplexStream, duplex},
    sync::Notify,
};

/// The maximum number of clients that wait, as the backlog of a socket.
const BACKLOG: usize = 128;

/// The maximum number of bytes in flight in each direction.
pub(super) const PIPE: usize = 64 * 1024;

/// A listener whose clients are streams in memory. They connect through its [`Clients`].
#[derive(Debug)]
pub struct MemoryListener {
    shared: Arc<Shared>,
    /// The number of this handle among those of the queue.
    handle: u64,
    /// The knowledge of a handle to a socket; `None` if the queue itself is examined.
    note: Option<Note>,
}

/// A handle to a socket knows that there may be clients, not that there are.
#[derive(Debug)]
struct Note {
    came: bool,
    /// The number of clients that had arrived at the last attempt.
    seen: u64,
}

/// Connects to a [`MemoryListener`]. It is cheap to clone.
#[derive(Clone, Debug)]
pub struct Clients {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    addr: Addr,
    queue: Mutex<Queue>,
    /// Notified when the queue has room again or the last listener is dropped.
    room: Notify,
    clients: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(DuplexStream, Addr)>,
    /// The number of clients that have arrived so far.
    arrived: u64,
    listeners: usize,
    acceptors: Wakers,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }
}

impl MemoryListener {
    /// Creates a listener and the [`Clients`] that connect to it.
    ///
    /// The listener is ready exactly while a client waits.
    pub fn new() -> (MemoryListener, Clients) {
        Self::with_note(None)
    }

    /// Creates a listener that becomes ready in the same way as a handle to a socket, and the
    /// [`Clients`] that connect to it.
    ///
    /// Each handle is ready when it is first polled, after each client that it has accepted, and
    /// when another client has arrived, even if another handle accepts that client. Once an accept
    /// has failed with [`WouldBlock`](io::ErrorKind::WouldBlock), the handle is not ready until
    /// another client arrives.
    pub fn like_socket() -> (MemoryListener, Clients) {
        Self::with_note(Some(Note::new()))
    }

    fn with_note(note: Option<Note>) -> (MemoryListener, Clients) {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::new(Shared {
            addr: Addr::Other(format!("memory:{number}").into()),
            queue: Mutex::default(),
            room: Notify::new(),
            clients: AtomicU64::new(1),
        });
        let listener = Self::handle(&shared, note);
        (listener, Clients { shared })
    }

    fn handle(shared: &Arc<Shared>, note: Option<Note>) -> MemoryListener {
        let mut queue = shared.queue();
        queue.listeners += 1;
        MemoryListener {
            shared: shared.clone(),
            handle: queue.acceptors.handle(),
            note,
        }
    }
}

impl Note {
    /// Nothing was attempted yet, so there may be clients.
    fn new() -> Self {
        Note {
            came: true,
            seen: 0,
        }
    }
}

impl Listener for MemoryListener {
    fn local_addr(&self) -> Addr {
        self.shared.addr.clone()
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut queue = self.shared.queue();
        let is_ready = match &self.note {
            Some(note) => note.came || note.seen != queue.arrived,
            None => !queue.waiting.is_empty(),
        };
        if is_ready {
            return Poll::Ready(Ok(()));
        }
        let old = queue.acceptors.register(self.handle, cx.waker());
        drop(queue);
        drop(old);
        Poll::Pending
    }

    fn try_accept(&mut self) -> io::Result<Accepted> {
        let mut queue = self.shared.queue();
        let client = queue.waiting.pop_front();
        if let Some(note) = &mut self.note {
            *note = Note {
                // There may be more.
                came: client.is_some(),
                seen: queue.arrived,
            };
        }
        drop(queue);
        let (stream, peer) = client.ok_or(io::ErrorKind::WouldBlock)?;
        self.shared.room.notify_waiters();
        Ok(Accepted::new(Transport::other(stream), peer))
    }

    fn pending(&mut self) -> Option<bool> {
        let queue = self.shared.queue();
        if let (true, Some(note)) = (queue.waiting.is_empty(), &mut self.note) {
            *note = Note {
                came: false,
                seen: queue.arrived,
            };
        }
        Some(!queue.waiting.is_empty())
    }

    fn try_clone(&self) -> io::Result<Box<dyn Listener>> {
        let note = self.note.as_ref().map(|_| Note::new());
        Ok(Box::new(Self::handle(&self.shared, note)))
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.listeners -= 1;
        let waker = queue.acceptors.remove(self.handle);
        let is_last = queue.listeners == 0;
        let waiting = is_last.then(|| std::mem::take(&mut queue.waiting));
        drop(queue);
        drop((waker, waiting));
        if is_last {
            self.shared.room.notify_waiters();
        }
    }
}

impl Clients {
    /// Connects a client, and waits while the queue is full. When this returns, the client is in
    /// the queue.
    ///
    /// # Errors
    ///
    /// Returns [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if nothing is listening.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped, no client was added.
    pub async fn connect(&self) -> io::Result<DuplexStream> {
        let number = self.shared.clients.fetch_add(1, Ordering::Relaxed);
        self.connect_from(Addr::Other(format!("client:{number}").into()))
            .await
    }

    /// Connects a client from a given address, such as a `SocketAddr`; otherwise like
    /// [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// Returns [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if nothing is listening.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped, no client was added.
    pub async fn connect_from(&self, addr: impl Into<Addr>) -> io::Result<DuplexStream> {
        let addr = addr.into();
        loop {
            let room = self.shared.room.notified();
            {
                let mut queue = self.shared.queue();
                if queue.listeners == 0 {
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                if queue.waiting.len() < BACKLOG {
                    let (ours, theirs) = duplex(PIPE);
                    queue.waiting.push_back((theirs, addr));
                    queue.arrived += 1;
                    let acceptors = queue.acceptors.take();
                    drop(queue);
                    acceptors.for_each(Waker::wake);
                    return Ok(ours);
                }
            }
            room.await;
        }
    }

    /// Returns the number of clients in the queue.
    pub fn waiting(&self) -> usize {
        self.shared.queue().waiting.len()
    }
}
