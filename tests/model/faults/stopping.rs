//! A server that stops is gone, at once if nothing delays it, and reports what happened to its
//! connections.

use crate::{
    port::Port,
    support::{LONG, echo, echoes, guest, soon, until},
};
use reagent::{
    Acceptor, BoxError, Connection, Error, Server, ServerStatus, handle,
    testing::{FlakyListener, MemoryListener},
};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{runtime::Runtime, time::Instant};

fn refuses(addr: SocketAddr) -> bool {
    let error = std::net::TcpStream::connect_timeout(&addr, LONG).err();
    error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[test]
fn a_runtime_that_goes_closes_the_ports_of_kept_servers() {
    let path = std::env::temp_dir().join(format!("reagent-{}.sock", std::process::id()));
    let runtime = Runtime::new().unwrap();
    let port = Port::new();
    let addrs = [
        format!("127.0.0.1:{}", port.number()),
        format!("unix:{}", path.display()),
    ];
    let server = runtime.block_on(Server::bind(addrs).start(handle(echo)));
    let server = server.unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    assert!(!refuses(addr) && path.exists());
    runtime.shutdown_timeout(LONG);
    assert_eq!(server.stats().status, ServerStatus::Stopped);
    assert_eq!((refuses(addr), path.exists()), (true, false));
}

#[test]
fn a_runtime_that_goes_closes_the_ports_of_kept_connections() {
    let port = Port::new();
    let runtime = Runtime::new().unwrap();
    let kept = runtime.block_on(async {
        let server = Server::bind(port.addr()).start(handle(echo)).await.unwrap();
        let _client = guest(&server).await;
        server.connection(1).expect("the first connection")
    });
    runtime.shutdown_timeout(LONG);
    assert!(refuses(port.addr()), "the port is still open");
    drop(kept);
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_a_service_that_is_being_made() {
    let (listener, _clients) = MemoryListener::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let make = tower::service_fn(move |acceptor: Acceptor| {
        count.fetch_add(1, SeqCst);
        async move {
            if acceptor.index > 0 {
                std::future::pending::<()>().await;
            }
            Ok::<_, BoxError>(handle(echo))
        }
    });
    let server = Server::new(listener).start_make(make).await.unwrap();
    server.set_acceptors(2);
    until("the second is asked for", || asked.load(SeqCst) == 2).await;
    let started = Instant::now();
    server.drain(Duration::from_secs(10)).await;
    let took = started.elapsed();
    assert!(took < Duration::from_millis(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn clients_that_panic_do_not_have_services_made_without_end() {
    let (listener, clients) = MemoryListener::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let make = tower::service_fn(move |_: Acceptor| {
        count.fetch_add(1, SeqCst);
        async {
            Ok::<_, BoxError>(handle(|conn: Connection| {
                if conn.id() <= 100 {
                    crate::trouble::panic_quietly();
                }
                echo(conn)
            }))
        }
    });
    let server = Server::new(listener).start_make(make).await.unwrap();
    let mut bad = Vec::new();
    for _ in 0..100 {
        bad.push(clients.connect().await.unwrap());
    }
    // Delays double from 5 ms up to one second, so this is enough for a dozen attempts.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(asked.load(SeqCst) <= 20, "{} were made", asked.load(SeqCst));
    assert!(server.stats().panicked >= 2);
    server.abort();
    soon(server.wait()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_after_the_loss_of_all_listeners_tells_the_truth() {
    let (listener, clients) = MemoryListener::new();
    let (listener, script) = FlakyListener::new(listener);
    let server = Server::new(listener).start(handle(echo)).await.unwrap();
    let mut stays = clients.connect().await.unwrap();
    assert!(echoes(&mut stays).await);
    script.never_reopen();
    script.fail_accepts([io::Error::from_raw_os_error(libc::EINVAL)]);
    until("it stops", || {
        server.stats().status == ServerStatus::Draining
    })
    .await;
    assert!(echoes(&mut stays).await);

    let report = soon(server.drain(Duration::from_millis(100))).await;
    assert_eq!(
        (report.finished, report.aborted, report.remaining),
        (0, 1, 0)
    );
    assert!(report.elapsed >= Duration::from_millis(100), "{report:?}");
    let error = soon(server.wait()).await.unwrap_err();
    assert!(matches!(*error, Error::ListenersLost), "{error}");
}
