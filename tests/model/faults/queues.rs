//! Every queue has an acceptor that serves it, whatever happens to other acceptors.

use crate::support::{LONG, SOON, connect, echo, echoes, served, soon, until};
use reagent::{
    Accepted, Acceptor, Addr, BoxError, Listener, Observer, Server, event, handle,
    testing::{Clients, MemoryListener},
};
use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};

/// Counts failed acceptors and lost listeners.
#[derive(Clone, Default)]
struct Failures(Arc<[AtomicUsize; 2]>);

impl Observer for Failures {
    fn acceptor_failed(&self, _: &event::AcceptorFailed<'_>) {
        self.0[0].fetch_add(1, SeqCst);
    }

    fn listener_lost(&self, _: &event::ListenerLost<'_>) {
        self.0[1].fetch_add(1, SeqCst);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_queue_of_an_acceptor_that_is_never_made_is_served() {
    let failures = Failures::default();
    let make = tower::service_fn(|acceptor: Acceptor| async move {
        match acceptor.index {
            0 => Ok(handle(echo)),
            _ => Err(BoxError::from("never")),
        }
    });
    let server = Server::bind("127.0.0.1:0")
        .options(|options| options.reuse_port = true)
        .observe(failures.clone())
        .start_make(make)
        .await
        .unwrap();
    server.set_acceptors(2);
    until("making it has failed", || failures.0[0].load(SeqCst) > 1).await;
    let clients: JoinSet<bool> = (0..40)
        .map(|_| {
            let addr = server.local_addr().clone();
            async move { served(&addr).await.is_some() }
        })
        .collect();
    let served = clients
        .join_all()
        .await
        .into_iter()
        .filter(|served| *served);
    assert_eq!(served.count(), 40);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_drain_serves_all_queues_of_a_pool_that_was_to_grow() {
    let server = Server::bind("127.0.0.1:0")
        .options(|options| options.reuse_port = true)
        .acceptors(4)
        .start(handle(echo))
        .await
        .unwrap();
    server.set_acceptors(1);
    until("one is left", || server.stats().acceptors == 1).await;
    server.pause();
    until("it is paused", || {
        server.stats().status == reagent::ServerStatus::Paused
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = connect(server.local_addr()).await;
        client.write_all(b"hello").await.unwrap();
        client.shutdown().await.unwrap();
        clients.push(client);
    }
    // With a single thread nothing runs between these two calls, so the new acceptors are ordered
    // but never started.
    server.set_acceptors(4);
    server.drain(LONG).await;
    let mut served = 0;
    for mut client in clients {
        let mut answer = Vec::new();
        let _ = soon(client.read_to_end(&mut answer)).await;
        served += usize::from(answer == b"hello");
    }
    assert_eq!(served, 40);
}

/// A listener whose second queue can fail permanently.
struct Twin {
    addr: Addr,
    queue: Box<dyn Listener>,
    is_second: bool,
    second: Arc<Mutex<Option<Box<dyn Listener>>>>,
    is_broken: Arc<AtomicBool>,
}

impl Twin {
    fn new() -> (Twin, [Clients; 2], Arc<AtomicBool>) {
        let (queue, first) = MemoryListener::new();
        let (other, second) = MemoryListener::new();
        let is_broken = Arc::new(AtomicBool::new(false));
        let twin = Twin {
            addr: queue.local_addr(),
            queue: Box::new(queue),
            is_second: false,
            second: Arc::new(Mutex::new(Some(Box::new(other)))),
            is_broken: is_broken.clone(),
        };
        (twin, [first, second], is_broken)
    }

    fn with(&self, queue: Box<dyn Listener>, is_second: bool) -> Box<dyn Listener> {
        Box::new(Twin {
            addr: self.addr.clone(),
            queue,
            is_second,
            second: self.second.clone(),
            is_broken: self.is_broken.clone(),
        })
    }
}

impl Listener for Twin {
    fn local_addr(&self) -> Addr {
        self.addr.clone()
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.queue.poll_ready(cx)
    }

    fn try_accept(&mut self) -> io::Result<Accepted> {
        match self.is_second && self.is_broken.load(SeqCst) {
            true => Err(io::Error::from_raw_os_error(libc::EINVAL)),
            false => self.queue.try_accept(),
        }
    }

    fn try_clone(&self) -> io::Result<Box<dyn Listener>> {
        Ok(self.with(self.queue.try_clone()?, self.is_second))
    }

    fn try_another(&self) -> Option<io::Result<Box<dyn Listener>>> {
        let second = self.second.lock().unwrap().take()?;
        Some(Ok(self.with(second, true)))
    }

    fn try_reopen(&self) -> Option<io::Result<Box<dyn Listener>>> {
        Some(Err(io::ErrorKind::AddrInUse.into()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_queue_does_not_stop_another_of_its_acceptor() {
    let (listener, [first, second], is_broken) = Twin::new();
    let failures = Failures::default();
    let server = Server::new(listener)
        .acceptors(2)
        .observe(failures.clone())
        .start(handle(echo))
        .await
        .unwrap();
    server.set_acceptors(1);
    until("one is left", || server.stats().acceptors == 1).await;
    assert!(echoes(&mut second.connect().await.unwrap()).await);
    is_broken.store(true, SeqCst);
    let _unlucky = second.connect().await.unwrap();
    until("a queue is lost", || failures.0[1].load(SeqCst) == 1).await;
    for _ in 0..3 {
        let mut client = first.connect().await.unwrap();
        assert!(echoes(&mut client).await);
        tokio::time::sleep(SOON).await;
    }
    assert!(server.stats().listeners[0].lost.is_some());
}
