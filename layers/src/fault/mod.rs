//! Makes things go wrong on purpose: latency, little bandwidth, short reads and writes, resets, black holes.
//!
//! # When
//!
//! In tests of your own: to see that a handler puts messages together again that come in pieces, that its time
//! limits are there and right, and that it cleans up after a reset. Not in production.
//!
//! What goes wrong with a connection is a matter of a seed and of the connection's number, and nothing else: not of
//! the other connections, nor of when which is polled. So with a
//! `reagent::testing::MemoryListener` and a paused clock a test that fails, fails again; and
//! [`FaultLayer::hits`] says what a connection has to expect.
//!
//! # Where in the stack
//!
//! Outermost, where the network is: then all other layers have its faults too. Inside TLS it cuts the handler's
//! bytes and not the records'.
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Outcome, Server, testing::MemoryListener};
//! use reagent_layers::fault::{Fault, FaultLayer};
//! use std::{io, time::Duration};
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, time::Instant};
//!
//! /// The handler under test: it answers a line of five bytes.
//! async fn handler(mut conn: Connection) -> io::Result<()> {
//!     let mut line = [0; 5];
//!     conn.read_exact(&mut line).await?; // with `read` it would fail below
//!     conn.write_all(&line).await
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let faults = FaultLayer::new(42) // the seed
//!     .with(1.0, Fault::slices(1..=3))
//!     .with(1.0, Fault::latency(Duration::from_millis(50), Duration::ZERO))
//!     .with(0.3, Fault::reset_after(7));
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .layer(faults.clone())
//!     .start(reagent::handle(handler))
//!     .await?;
//!
//! for id in 1..=20 {
//!     let began = Instant::now();
//!     let mut client = clients.connect().await?;
//!     client.write_all(b"hello").await?;
//!     let mut answer = String::new();
//!     client.read_to_string(&mut answer).await?;
//!     assert_eq!(began.elapsed().as_millis(), 50);
//!     match faults.hits(id).any(|fault| fault == Fault::reset_after(7)) {
//!         true => assert_eq!(answer, "he"),
//!         false => assert_eq!(answer, "hello"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! None of its own. A handler whose connection is reset gets
//! [`ConnectionReset`](std::io::ErrorKind::ConnectionReset).

// The numbers come from fastrand, which is here for other layers already. `rand_pcg` promises the same numbers in
// every version, but no more is asked of a seed than that it fails again with the same lock file.

mod delay;
mod io;
mod kinds;
mod plan;

pub use io::FaultIo;
pub use kinds::Fault;

use plan::{Plan, rng};
use reagent::{Connection, IoStream};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// A layer of faults, none unless added.
#[derive(Clone, Debug)]
pub struct FaultLayer {
    seed: u64,
    faults: Arc<Vec<(f64, Fault)>>,
}

impl FaultLayer {
    /// No faults yet. With another seed others are hit.
    pub fn new(seed: u64) -> Self {
        FaultLayer {
            seed,
            faults: Arc::default(),
        }
    }

    /// Adds a fault, which hits each connection with this probability: 0 is none, 1 is all. Where two of one kind
    /// hit, the one that was added last counts.
    pub fn with(mut self, probability: f64, fault: Fault) -> Self {
        Arc::make_mut(&mut self.faults).push((probability, fault));
        self
    }

    /// The faults that hit the connection of this number, in the order in which they were added.
    pub fn hits(&self, id: u64) -> impl Iterator<Item = Fault> {
        self.drawn(id).map(|(_, fault)| fault)
    }

    /// The same, each with its index.
    fn drawn(&self, id: u64) -> impl Iterator<Item = (u64, Fault)> {
        let faults = (0..).zip(self.faults.iter());
        faults.filter_map(move |(index, &(probability, fault))| {
            let hits = rng([self.seed, id, index]).f64() < probability;
            hits.then_some((index, fault))
        })
    }

    fn plan(&self, id: u64) -> Option<Plan> {
        let mut drawn = self.drawn(id).peekable();
        drawn.peek()?;
        let drawn = drawn.map(|(index, fault)| {
            let rngs = [1, 2].map(|way| rng([self.seed, id, index, way]));
            (fault, rngs)
        });
        Some(Plan::new(drawn))
    }
}

impl<S> Layer<S> for FaultLayer {
    type Service = FaultService<S>;

    fn layer(&self, inner: S) -> FaultService<S> {
        FaultService {
            inner,
            layer: self.clone(),
        }
    }
}

/// The service of a [`FaultLayer`]: ready when the service inside is.
#[derive(Clone, Debug)]
pub struct FaultService<S> {
    inner: S,
    layer: FaultLayer,
}

impl<S, Io> Service<Connection<Io>> for FaultService<S>
where
    S: Service<Connection<FaultIo<Io>>>,
    Io: IoStream,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        let (plan, handle) = (self.layer.plan(conn.id()), conn.handle());
        self.inner
            .call(conn.map_io(|io| FaultIo::new(io, plan, handle)))
    }
}
