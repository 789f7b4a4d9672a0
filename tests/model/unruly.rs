//! The service of the model: it echoes, obeys commands of its clients, and fails when armed.

use crate::{
    config::{Config, Scope},
    trouble::{Bomb, Spot, Trouble, panic_quietly, panic_with_bomb},
};
use reagent::{Addr, Connection};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Sleep, sleep},
};
use tower::Service;

/// The delay of a service or a factory that is armed to be pending.
pub const PENDS: Duration = Duration::from_millis(300);

/// The commands of clients to their handler. Other bytes are echoed.
pub mod command {
    pub const FAIL: u8 = b'e';
    pub const PANIC: u8 = b'!';
    pub const PANIC_WITH_BOMB: u8 = b'*';
}

/// Every third connection ignores a drain.
pub fn obeys_drain(id: u64) -> bool {
    id % 3 != 0
}

/// The live futures, by the address of their connections.
#[derive(Clone, Debug, Default)]
pub struct Alive(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    by_addr: BTreeMap<String, usize>,
    /// Connections whose futures panic on drop.
    grudging: BTreeSet<u64>,
    /// The number of times that all services were to be replaced.
    generation: u64,
    /// The generation that every service must have reached.
    required: u64,
    violations: Vec<String>,
}

impl Alive {
    pub fn at(&self, addr: &Addr) -> usize {
        let state = self.0.lock().unwrap();
        state.by_addr.get(&addr.to_string()).copied().unwrap_or(0)
    }

    pub fn total(&self) -> usize {
        self.0.lock().unwrap().by_addr.values().sum()
    }

    pub fn is_grudging(&self, id: u64) -> bool {
        self.0.lock().unwrap().grudging.contains(&id)
    }

    pub fn violations(&self) -> Vec<String> {
        self.0.lock().unwrap().violations.clone()
    }

    pub fn next_generation(&self) {
        self.0.lock().unwrap().generation += 1;
    }

    /// Declares that every service was replaced.
    pub fn require_generation(&self) {
        let mut state = self.0.lock().unwrap();
        state.required = state.generation;
    }

    fn generation(&self) -> u64 {
        self.0.lock().unwrap().generation
    }

    fn enter(&self, addr: &Addr, service: &Unruly) -> Inside {
        let addr = addr.to_string();
        let mut state = self.0.lock().unwrap();
        *state.by_addr.entry(addr.clone()).or_default() += 1;
        let total: usize = state.by_addr.values().sum();
        if service.generation < state.required {
            let violation = "a service was used that had been replaced".to_owned();
            state.violations.push(violation);
        }
        if let Some((Scope::Server, size)) = service.limit {
            if total > size {
                let violation = format!("{total} futures under a concurrency limit of {size}");
                state.violations.push(violation);
            }
        }
        Inside(self.clone(), addr)
    }
}

struct Inside(Alive, String);

impl Drop for Inside {
    fn drop(&mut self) {
        let mut state = self.0.0.lock().unwrap();
        *state.by_addr.entry(self.1.clone()).or_default() -= 1;
    }
}

/// The service. A clone is independent, but has the same failures.
#[derive(Debug)]
pub struct Unruly {
    trouble: Trouble,
    alive: Alive,
    limit: Option<(Scope, usize)>,
    generation: u64,
    pending: Option<Pin<Box<Sleep>>>,
}

impl Unruly {
    pub fn new(trouble: &Trouble, alive: &Alive, config: &Config) -> Self {
        Unruly {
            trouble: trouble.clone(),
            alive: alive.clone(),
            limit: config.stack_limit(),
            generation: alive.generation(),
            pending: None,
        }
    }
}

impl Clone for Unruly {
    fn clone(&self) -> Self {
        Unruly {
            trouble: self.trouble.clone(),
            alive: self.alive.clone(),
            limit: self.limit,
            generation: self.alive.generation(),
            pending: None,
        }
    }
}

impl Drop for Unruly {
    fn drop(&mut self) {
        self.trouble.maybe_panic(Spot::ServiceDropPanics);
    }
}

impl Service<Connection> for Unruly {
    type Response = ();
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.trouble.maybe_panic(Spot::ReadyPanics);
        if self.trouble.strikes(Spot::ReadyFails) {
            return Poll::Ready(Err(io::Error::other("readiness failure requested")));
        }
        if self.trouble.strikes(Spot::ReadyPends) {
            self.pending = Some(Box::pin(sleep(PENDS)));
        }
        if let Some(pending) = &mut self.pending {
            ready!(pending.as_mut().poll(cx));
            self.pending = None;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, conn: Connection) -> Self::Future {
        let inside = self.alive.enter(conn.listener_addr(), self);
        self.trouble.maybe_panic(Spot::CallPanics);
        let grudge = self.trouble.strikes(Spot::FutureDropPanics).then(|| {
            let mut state = self.alive.0.lock().unwrap();
            state.grudging.insert(conn.id());
            Bomb
        });
        Box::pin(async move {
            let (_grudge, _inside) = (grudge, inside);
            serve(conn).await
        })
    }
}

/// Sends the client the number of its connection, then follows its commands.
async fn serve(mut conn: Connection) -> io::Result<()> {
    conn.write_u64(conn.id()).await?;
    let draining = conn.draining();
    let obeys = obeys_drain(conn.id());
    let mut draining = std::pin::pin!(async move {
        draining.await;
        if !obeys {
            std::future::pending::<()>().await;
        }
    });
    let mut bytes = [0; 64];
    loop {
        let count = tokio::select! {
            biased;
            count = conn.read(&mut bytes) => count?,
            () = &mut draining => return Ok(()),
        };
        if count == 0 {
            return Ok(());
        }
        for byte in &bytes[..count] {
            match *byte {
                command::FAIL => return Err(io::Error::other("as the client said")),
                command::PANIC => panic_quietly(),
                command::PANIC_WITH_BOMB => panic_with_bomb(),
                _ => {}
            }
        }
        conn.write_all(&bytes[..count]).await?;
    }
}
