//! A blocked thread affects only its own connections: the other cores drain and abort at once.

use crate::support::{LONG, connect, soon, until};
use reagent::{Connection, Server, ServerHandle, handle};
use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The time limit for the other core, far below the time for which the blocked one is blocked.
const AT_ONCE: Duration = Duration::from_millis(800);

/// Ample time for the deadline and one second more. The thread is blocked for longer.
const PATIENCE: Duration = Duration::from_secs(6);

struct TwoCores {
    server: ServerHandle,
    /// The client on the blocked core.
    _blocked: TcpStream,
    obedient: TcpStream,
    /// Unblocks the thread when dropped, even if a test fails.
    gate: mpsc::Sender<()>,
}

/// Starts a server on two cores with a client on each, and blocks one of them.
async fn two_cores() -> TwoCores {
    let (gate, closed) = mpsc::channel::<()>();
    let (closed, is_blocked) = (
        Arc::new(Mutex::new(closed)),
        Arc::new(AtomicBool::new(false)),
    );
    let said = is_blocked.clone();
    let serve = move |mut conn: Connection| {
        let (closed, said) = (closed.clone(), said.clone());
        async move {
            let thread = std::thread::current();
            let core = thread.name().and_then(|name| name.bytes().last());
            conn.write_u8(core.unwrap_or(b'?')).await?;
            let draining = conn.draining();
            tokio::select! {
                byte = conn.read_u8() => {
                    byte?;
                    said.store(true, SeqCst);
                    let _ = closed.lock().unwrap().recv();
                }
                () = draining => {}
            }
            io::Result::Ok(())
        }
    };
    let server = Server::bind("127.0.0.1:0").per_core().acceptors(2);
    let server = server.start(handle(serve)).await.unwrap();
    let mut clients = BTreeMap::new();
    while clients.len() < 2 {
        let mut client = connect(server.local_addr()).await;
        let core = soon(client.read_u8()).await.unwrap();
        clients.entry(core).or_insert(client);
    }
    until("only two are open", || server.connection_count() == 2).await;
    let mut blocked = clients.remove(&b'0').unwrap();
    blocked.write_all(b"b").await.unwrap();
    until("the thread is blocked", || is_blocked.load(SeqCst)).await;
    TwoCores {
        server,
        _blocked: blocked,
        obedient: clients.remove(&b'1').unwrap(),
        gate,
    }
}

async fn ends(client: &mut TcpStream) -> Duration {
    let started = Instant::now();
    let _ = timeout(PATIENCE, client.read(&mut [0])).await;
    started.elapsed()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_does_not_wait_for_a_blocked_core() {
    let mut cores = two_cores().await;
    let drain = cores.server.drain(Duration::from_millis(100));
    let drained = timeout(PATIENCE, drain);
    let (report, told_after) = tokio::join!(drained, ends(&mut cores.obedient));
    let report = report.expect("an end within six seconds");
    assert!(told_after < AT_ONCE, "told after {told_after:?}");
    assert_eq!(
        (report.finished, report.aborted, report.remaining),
        (1, 1, 1),
        "{report:?}"
    );
    drop(cores.gate);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_does_not_wait_for_a_blocked_core() {
    let mut cores = two_cores().await;
    cores.server.abort();
    let ended_after = ends(&mut cores.obedient).await;
    assert!(ended_after < AT_ONCE, "ended after {ended_after:?}");
    drop(cores.gate);
    timeout(LONG, cores.server.wait()).await.unwrap().unwrap();
}
