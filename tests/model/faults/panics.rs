//! A panic in user code affects its own connection, but never an acceptor.

use crate::{
    config::{Config, LimitBy, Stack, StartBy},
    operation::{Ending, Operation},
    run::Plan,
    support::{SOON, connect, echo, echoes, guest, served, until},
    trouble::{Spot, Trouble},
    unruly::{Alive, Unruly},
};
use reagent::{
    Acceptor, BoxError, Connection, Server, ServerHandle,
    testing::{Clients, MemoryListener},
};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    thread,
    time::Duration,
};
use tokio::task::JoinSet;
use tower::Service;

/// Counts under a lock, so that after a panic in `call` every drop panics too.
#[derive(Clone)]
struct Poisoned {
    count: Arc<Mutex<u64>>,
    /// The number of the connection that poisons the lock.
    bad: u64,
}

impl Drop for Poisoned {
    fn drop(&mut self) {
        if !thread::panicking() {
            *self.count.lock().unwrap() += 1;
        }
    }
}

impl Service<Connection> for Poisoned {
    type Response = ();
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, conn: Connection) -> Self::Future {
        if conn.id() == self.bad {
            let _count = self.count.lock().unwrap();
            panic!("with the lock held");
        }
        Box::pin(echo(conn))
    }
}

async fn is_served(clients: &Clients) -> bool {
    let mut client = clients.connect().await.expect("a listener");
    echoes(&mut client).await
}

#[tokio::test(start_paused = true)]
async fn a_service_that_cannot_be_dropped_keeps_its_acceptor() {
    let (listener, clients) = MemoryListener::new();
    let service = Poisoned {
        count: Arc::default(),
        bad: 2,
    };
    let server = Server::new(listener).start(service).await.unwrap();
    assert!(is_served(&clients).await);
    assert!(!is_served(&clients).await);
    assert!(is_served(&clients).await);
    assert_eq!(server.stats().acceptors, 1);
}

#[tokio::test(start_paused = true)]
async fn a_pool_grows_after_a_panic_in_one_drop() {
    let (listener, clients) = MemoryListener::new();
    let (trouble, alive) = (Trouble::default(), Alive::default());
    let service = Unruly::new(&trouble, &alive, &config(StartBy::Clone, 1));
    let server = Server::new(listener).start(service).await.unwrap();
    // The panic makes the acceptor discard the service, and dropping it panics again.
    trouble.arm(Spot::CallPanics, 1, false);
    trouble.arm(Spot::ServiceDropPanics, 1, false);
    assert!(!is_served(&clients).await);
    tokio::time::sleep(SOON).await;
    assert_eq!(server.stats().acceptors, 1);
    server.set_acceptors(2);
    tokio::time::sleep(SOON).await;
    assert_eq!(server.stats().acceptors, 2);
    let mut client = clients.connect().await.unwrap();
    let mut greeting = [0; 8];
    let read = tokio::io::AsyncReadExt::read_exact(&mut client, &mut greeting);
    tokio::time::timeout(SOON, read).await.unwrap().unwrap();
}

async fn all_served(server: &ServerHandle, count: usize) -> usize {
    let clients: JoinSet<bool> = (0..count)
        .map(|_| {
            let addr = server.local_addr().clone();
            async move { served(&addr).await.is_some() }
        })
        .collect();
    let served = clients.join_all().await;
    served.into_iter().filter(|served| *served).count()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_goes_on_after_a_service_that_cannot_be_dropped() {
    // There are four queues: without its acceptor, a queue would lose a quarter of the clients.
    let make = tower::service_fn(|_: Acceptor| async {
        Ok::<_, BoxError>(Poisoned {
            count: Arc::default(),
            bad: 1,
        })
    });
    let server = Server::bind("127.0.0.1:0").per_core().acceptors(4);
    let server = server.start_make(make).await.unwrap();
    assert!(!echoes(&mut connect(server.local_addr()).await).await);
    assert_eq!(all_served(&server, 100).await, 100);
    // The clients of its queue wait while it is made again, and those of others do not.
    until("there are four", || server.stats().acceptors == 4).await;
    drop(guest(&server).await);
}

fn config(start: StartBy, acceptors: usize) -> Config {
    Config {
        start,
        limit: LimitBy::MaxConnections(2),
        stack: Stack::Plain,
        addresses: 1,
        acceptors,
        is_like_socket: true,
    }
}

/// Makes user code panic at this spot while there are clients, and checks the model.
fn survives(spot: Spot, with_bomb: bool) {
    for start in [StartBy::Clone, StartBy::Make] {
        for acceptors in [1, 3] {
            let arm = |spot| Operation::Arm {
                spot,
                times: 1,
                with_bomb,
            };
            let connect = Operation::Connect { place: 0 };
            let leave = Operation::Leave {
                client: 0,
                reset: false,
            };
            let mut operations = vec![connect, arm(spot)];
            if matches!(spot, Spot::MakePanics | Spot::ServiceDropPanics) {
                // A panic in `call` makes the acceptor discard its service and make another.
                operations.push(arm(Spot::CallPanics));
            }
            // More clients than permits, and another number of acceptors.
            operations.extend([connect, connect, connect, leave, leave, leave]);
            operations.extend([Operation::SetAcceptors(2), Operation::SetAcceptors(1)]);
            operations.extend([connect, Operation::Wait(Duration::from_secs(2)), connect]);
            let plan = Plan {
                seed: 0,
                config: config(start, acceptors),
                operations,
                ending: Ending::Drain(Duration::from_millis(100)),
            };
            if let Err(failure) = plan.run(true) {
                panic!("{}", plan.report(&failure));
            }
        }
    }
}

macro_rules! survives {
    ($($name:ident: $spot:ident, $with_bomb:expr;)*) => {$(
        #[test]
        fn $name() {
            survives(Spot::$spot, $with_bomb);
        }
    )*};
}

survives! {
    a_panic_in_call_is_survived: CallPanics, false;
    a_panic_in_the_drop_of_a_service_is_survived: ServiceDropPanics, false;
    a_panic_in_the_drop_of_a_future_is_survived: FutureDropPanics, false;
    a_panic_in_poll_ready_is_survived: ReadyPanics, false;
    a_panic_in_make_is_survived: MakePanics, false;
    a_panic_in_an_observer_is_survived: ObserverPanics, false;
    a_payload_of_call_that_panics_is_survived: CallPanics, true;
    a_payload_of_the_drop_of_a_service_that_panics_is_survived: ServiceDropPanics, true;
    a_payload_of_poll_ready_that_panics_is_survived: ReadyPanics, true;
    a_payload_of_make_that_panics_is_survived: MakePanics, true;
    a_payload_of_an_observer_that_panics_is_survived: ObserverPanics, true;
}

#[test]
fn a_payload_of_a_handler_that_panics_is_survived() {
    let plan = Plan {
        seed: 0,
        config: config(StartBy::Clone, 1),
        operations: vec![
            Operation::Connect { place: 0 },
            Operation::Panic {
                client: 0,
                with_bomb: true,
            },
            Operation::Connect { place: 0 },
        ],
        ending: Ending::Drain(Duration::from_millis(100)),
    };
    if let Err(failure) = plan.run(true) {
        panic!("{}", plan.report(&failure));
    }
}
