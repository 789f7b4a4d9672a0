//! A listener without sockets.

use crate::{Accepted, Addr, Listener, Transport, sync::Mutex};
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

/// Clients that wait at most, as with a socket's backlog.
const BACKLOG: usize = 128;

/// Bytes on their way in each direction at most.
const PIPE: usize = 64 * 1024;

/// Accepts clients that are streams in memory; they come from its [`Clients`].
#[derive(Debug)]
pub struct MemoryListener {
    shared: Arc<Shared>,
}

/// Connects to a [`MemoryListener`]; cheap to clone.
#[derive(Clone, Debug)]
pub struct Clients {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    addr: Addr,
    queue: Mutex<Queue>,
    /// Told when the queue has room again, or nobody listens any more.
    room: Notify,
    clients: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(DuplexStream, Addr)>,
    listeners: usize,
    acceptors: Vec<Waker>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }
}

impl MemoryListener {
    /// A listener, and what its clients connect by.
    pub fn new() -> (MemoryListener, Clients) {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::new(Shared {
            addr: Addr::Other(format!("memory:{number}").into()),
            queue: Mutex::new(Queue {
                listeners: 1,
                ..Queue::default()
            }),
            room: Notify::new(),
            clients: AtomicU64::new(1),
        });
        (
            MemoryListener {
                shared: shared.clone(),
            },
            Clients { shared },
        )
    }
}

impl Listener for MemoryListener {
    fn local_addr(&self) -> Addr {
        self.shared.addr.clone()
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut queue = self.shared.queue();
        if !queue.waiting.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if !queue
            .acceptors
            .iter()
            .any(|waker| waker.will_wake(cx.waker()))
        {
            queue.acceptors.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn try_accept(&mut self) -> io::Result<Accepted> {
        let (stream, peer) = self
            .shared
            .queue()
            .waiting
            .pop_front()
            .ok_or(io::ErrorKind::WouldBlock)?;
        self.shared.room.notify_waiters();
        Ok(Accepted::new(Transport::other(stream), peer))
    }

    fn pending(&mut self) -> Option<bool> {
        Some(!self.shared.queue().waiting.is_empty())
    }

    fn try_clone(&self) -> io::Result<Box<dyn Listener>> {
        self.shared.queue().listeners += 1;
        Ok(Box::new(MemoryListener {
            shared: self.shared.clone(),
        }))
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.listeners -= 1;
        if queue.listeners == 0 {
            let waiting = std::mem::take(&mut queue.waiting);
            drop(queue);
            drop(waiting);
            self.shared.room.notify_waiters();
        }
    }
}

impl Clients {
    /// Connects: the client is in the listener's queue when this returns, and waits while that is full.
    /// An error says that nobody listens any more. Cancel safe.
    pub async fn connect(&self) -> io::Result<DuplexStream> {
        let number = self.shared.clients.fetch_add(1, Ordering::Relaxed);
        self.connect_from(Addr::Other(format!("client:{number}").into()))
            .await
    }

    /// Connects from an address of one's choice, such as a `SocketAddr`.
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
                    let acceptors = std::mem::take(&mut queue.acceptors);
                    drop(queue);
                    acceptors.into_iter().for_each(Waker::wake);
                    return Ok(ours);
                }
            }
            room.await;
        }
    }

    /// How many clients are in the queue.
    pub fn waiting(&self) -> usize {
        self.shared.queue().waiting.len()
    }
}
