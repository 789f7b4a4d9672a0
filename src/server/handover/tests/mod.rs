//! Both sides of a hand-over, and peers that break off, hang, lie or send junk.

mod exchange;
mod failures;
mod formats;
mod lies;
mod old;
mod predecessors;
mod processes;
mod script;
mod sockets;
mod strangers;
mod successors;

use super::{
    Begin, Handover,
    carrier::Carrier,
    predecessor::{Offer, Predecessor},
    serve::serve,
    spare::Spare,
    succession::{Prepared, Succession},
    successor::connect,
    wire::{Kind, Received, Wire},
};
use crate::{
    BoxError, Carried, Error, ErrorChain, Transport,
    listener::{Listener, SocketListener, SocketOptions},
    sync::Mutex,
};
use old::{Bytes, Old};
use script::Script;
use std::{
    future::{Future, pending, poll_fn},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{
        Arc, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{net::UnixStream, task::JoinSet};

/// A child has copies of all descriptors until it runs its program, so that a socket that a test
/// closes stays open. Each test has a directory, and is a reader while it has it.
static SPAWNING: RwLock<()> = RwLock::new(());

/// A directory that is removed at the end of the test.
struct Dir {
    path: PathBuf,
    no_spawning: Option<RwLockReadGuard<'static, ()>>,
}

impl Dir {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("reagent-{}-handover-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Dir {
            path,
            no_spawning: SPAWNING.read().ok(),
        }
    }

    /// Starts a child while no other test runs.
    fn spawn(&mut self, command: &mut Command) -> io::Result<Child> {
        self.no_spawning = None;
        let alone = SPAWNING.write();
        let child = command.spawn();
        drop(alone);
        self.no_spawning = SPAWNING.read().ok();
        child
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the path of the hand-over.
    fn door(&self) -> PathBuf {
        self.path("handover.sock")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn tcp() -> SocketListener {
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    SocketListener::bind_tcp(addr, &Arc::default()).unwrap().0
}

/// Accepts a client.
async fn accept(listener: &mut SocketListener) -> Transport {
    loop {
        poll_fn(|cx| listener.poll_ready(cx)).await.unwrap();
        match listener.try_accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            accepted => return accepted.unwrap().transport,
        }
    }
}

fn carrier(states: &[&Arc<Bytes>]) -> Carrier {
    let mut carrier = Carrier::default();
    for state in states {
        carrier.add(Arc::clone(state));
    }
    carrier
}

/// Connects as a successor that finds a predecessor.
async fn succeed(path: &Path) -> Succession {
    connect(path).await.unwrap().unwrap()
}

/// Goes through all steps of a succession.
async fn take_over(path: &Path, addr: &str) -> (Vec<SocketListener>, SocketListener) {
    let mut succession = succeed(path).await;
    let taken = succession.take_one(addr).unwrap();
    let listeners = taken.open(&Arc::default()).unwrap();
    let prepared = succession.ready(&Carrier::default()).await.unwrap();
    let door = prepared.take_over().await.unwrap();
    listeners.iter().for_each(SocketListener::take_over);
    (listeners, door)
}

/// Returns the message of an error.
fn text<T>(result: Result<T, Error>) -> String {
    ErrorChain(&result.map(drop).unwrap_err()).to_string()
}

/// Connects to the path and greets, as a successor does.
async fn greet(path: &Path) -> Wire {
    let wire = Wire::new(UnixStream::connect(path).await.unwrap());
    wire.send(Kind::Hello, &super::hello(), &[]).await.unwrap();
    wire
}

/// Receives a frame with any number of descriptors, or `None` at the end of the connection.
async fn next(wire: &Wire) -> Option<(Kind, Vec<u8>)> {
    let mut received = Received {
        fds: Vec::new(),
        most: 10_000,
    };
    let frame = wire.receive(&mut received).await.unwrap()?;
    Some((frame.kind, frame.body))
}

/// Runs a test of the paused clock, which advances by `step` at a time, and only after the messages
/// that are under way have arrived. By itself, a paused clock would advance before them.
async fn with_clock<T>(step: Duration, test: impl Future<Output = T>) -> T {
    let clock = async {
        loop {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            tokio::time::advance(step).await;
        }
    };
    tokio::select! {
        biased;
        output = test => output,
        () = clock => unreachable!(),
    }
}

/// Lets other tasks run until `condition` holds. Does not depend on the clock.
async fn until(mut condition: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if condition() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("not so");
}
