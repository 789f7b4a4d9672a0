//! A server on its own thread, so that its cost is that of the thread.

use crate::{kit::Kit, load::pause, servers::Kind};
use reagent::{BoxError, ServerHandle};
use std::{
    fs, io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    runtime::Builder,
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::interval,
};

/// Earlier than every timeout.
const SOONER: Duration = Duration::from_secs(1);

pub type Starting = Pin<Box<dyn Future<Output = Result<Place, BoxError>>>>;

/// The address of a server and its number of connections.
#[derive(Clone)]
pub struct Place {
    pub addr: SocketAddr,
    open: Open,
}

#[derive(Clone)]
enum Open {
    Pool(ServerHandle),
    Loop(Counted),
}

#[derive(Clone, Default)]
pub struct Counted(Arc<AtomicUsize>);

/// One counted connection.
pub struct One(Arc<AtomicUsize>);

impl Counted {
    pub fn one(&self) -> One {
        self.0.fetch_add(1, SeqCst);
        One(self.0.clone())
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Place {
    pub fn of_pool<E: Into<BoxError>>(
        starting: impl Future<Output = Result<ServerHandle, E>> + 'static,
    ) -> Starting {
        Box::pin(async {
            let handle = starting.await.map_err(Into::into)?;
            Ok(Place {
                addr: handle.local_addr().socket_addr().ok_or("a TCP address")?,
                open: Open::Pool(handle),
            })
        })
    }

    pub fn of_loop(listener: &TcpListener) -> io::Result<Self> {
        Ok(Place {
            addr: listener.local_addr()?,
            open: Open::Loop(Counted::default()),
        })
    }

    /// Counts a connection of an accept loop.
    pub fn open(&self) -> Counted {
        match &self.open {
            Open::Loop(open) => open.clone(),
            Open::Pool(_) => Counted::default(),
        }
    }

    fn connections(&self) -> usize {
        match &self.open {
            Open::Pool(handle) => handle.connection_count(),
            Open::Loop(open) => open.0.load(SeqCst),
        }
    }
}

/// A running server.
pub struct Running {
    pub place: Place,
    /// The file with the kernel's statistics of its thread.
    schedstat: String,
    marks: UnboundedSender<()>,
    marked: mpsc::Receiver<()>,
    thread: thread::JoinHandle<()>,
}

impl Running {
    pub fn start(kind: &Kind, kit: &Kit) -> Result<Self, BoxError> {
        let (marks, mut wanted) = unbounded_channel();
        let (marking, marked) = mpsc::channel();
        let (telling, told) = mpsc::channel();
        let (start, traced) = (kind.start, kind.traced);
        let kit = kit.clone();
        let thread = thread::spawn(move || {
            let _subscriber = traced.map(|level| {
                let subscriber = tracing_subscriber::fmt()
                    .with_max_level(level)
                    .with_ansi(false)
                    .with_writer(io::sink);
                tracing::subscriber::set_default(subscriber.finish())
            });
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            runtime.block_on(async {
                let tid = fs::read_link("/proc/thread-self").unwrap_or_default();
                let started = start(&kit).await;
                let _ = telling.send(started.map(|place| (place, tid)));
                // As in a server with many connections, some timer is earlier than that of the
                // newest connection. Being the earliest one costs a system call.
                let mut sooner = interval(SOONER);
                loop {
                    tokio::select! {
                        _ = sooner.tick() => {}
                        order = wanted.recv() => match order {
                            Some(()) => {
                                mark();
                                let _ = marking.send(());
                            }
                            None => break,
                        },
                    }
                }
            });
        });
        let (place, tid) = told.recv()??;
        Ok(Running {
            place,
            schedstat: format!("/proc/{}/schedstat", tid.display()),
            marks,
            marked,
            thread,
        })
    }

    /// Waits until at most `connections` are open and the server is idle.
    pub fn settle(&self, connections: usize) {
        while self.place.connections() > connections {
            pause(Duration::from_micros(100));
        }
        pause(Duration::from_millis(1));
    }

    /// Makes callgrind dump what this thread has done since the last mark.
    pub fn mark(&self) -> Result<(), BoxError> {
        self.marks.send(())?;
        Ok(self.marked.recv()?)
    }

    /// Returns the run time of its thread in nanoseconds.
    pub fn cpu(&self) -> Result<u64, BoxError> {
        let stat = fs::read_to_string(&self.schedstat)?;
        let ran = stat.split_whitespace().next().ok_or("proc(5)")?;
        Ok(ran.parse()?)
    }

    pub fn stop(self) {
        drop(self.marks);
        let _ = self.thread.join();
    }
}

/// Callgrind is configured to dump its counts whenever this function is called.
#[inline(never)]
fn mark() {
    std::hint::black_box(());
}
