//! The whole loop, with a server as the plant: each connection holds a part of a resource, and
//! something else takes more of it, in steps, slowly or for a moment.

use super::{SECOND, echo};
use reagent::{
    Server, ServerHandle, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::pressure::{Moment, Pressure, Source};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncWriteExt, DuplexStream},
    time::sleep,
};

/// The connections for which there is room.
const ROOM: usize = 400;

/// Clients that come in a second, and the part of them that never finishes its request.
const RATE: usize = 8;
const BUSY: usize = 40;

const STEP: Duration = Duration::from_millis(100);

/// A resource that connections and something else take.
#[derive(Clone, Default)]
struct Resource(Arc<AtomicUsize>);

impl Source for Resource {
    fn name(&self) -> &'static str {
        "resource"
    }

    fn sample(&mut self, moment: &Moment<'_>) -> Option<f64> {
        Some(self.used(moment.server) as f64 / ROOM as f64)
    }
}

impl Resource {
    fn used(&self, server: &ServerHandle) -> usize {
        server.connection_count() + self.0.load(SeqCst)
    }
}

/// A sequence of numbers that differs for each seed (the constants are those of Knuth's MMIX).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

struct Plant {
    resource: Resource,
    pressure: Pressure,
    server: ServerHandle,
    clients: Clients,
    dice: Dice,
    open: Vec<DuplexStream>,
}

/// What was seen in a time.
#[derive(Debug)]
struct Seen {
    /// The least and the most of the resource that was used, as parts of it.
    least: f64,
    most: f64,
    /// The least and the most open connections.
    few: usize,
    many: usize,
    /// The connections that were asked to finish.
    asked: u64,
}

impl Seen {
    /// Returns the width of the swing of the open connections, as a part of them.
    fn swing(&self) -> f64 {
        (self.many - self.few) as f64 / self.many as f64
    }
}

impl Plant {
    async fn start(seed: u64) -> Self {
        let resource = Resource::default();
        let pressure = Pressure::builder().source(resource.clone()).build();
        let (listener, clients) = MemoryListener::new();
        let server = Server::new(listener)
            .layer(pressure.layer())
            .start(handle(async |conn: reagent::Connection| {
                if conn.id() as usize % BUSY == 0 {
                    conn.handle().set_busy(true);
                    return std::future::pending().await;
                }
                echo(conn).await
            }))
            .await
            .unwrap();
        pressure.attach(&server);
        Plant {
            resource,
            pressure,
            server,
            clients,
            dice: Dice(seed),
            open: Vec::new(),
        }
    }

    /// Runs for a time, in which something else takes `from` to `to` of the resource.
    async fn run(&mut self, seconds: u32, from: usize, to: usize) -> Seen {
        let steps = seconds as usize * 10;
        let asked = self.pressure.stats().asked;
        let mut seen = Seen {
            least: f64::MAX,
            most: 0.0,
            few: usize::MAX,
            many: 0,
            asked: 0,
        };
        for step in 0..steps {
            let other = from + (to.saturating_sub(from)) * step / steps;
            self.resource.0.store(other, SeqCst);
            // As many as a second has, at random times.
            for _ in 0..RATE {
                if self.dice.below(10) == 0 {
                    self.open.push(self.clients.connect().await.unwrap());
                }
            }
            // One of the clients sends something.
            if !self.open.is_empty() {
                let n = self.dice.below(self.open.len());
                let _ = self.open[n].write_u8(7).await;
            }
            sleep(STEP).await;
            let used = self.resource.used(&self.server) as f64 / ROOM as f64;
            let open = self.server.connection_count();
            seen.least = seen.least.min(used);
            seen.most = seen.most.max(used);
            seen.few = seen.few.min(open);
            seen.many = seen.many.max(open);
        }
        seen.asked = self.pressure.stats().asked - asked;
        seen
    }

    /// Runs until the use is below the threshold, and returns how long that took.
    async fn settle(&mut self, other: usize) -> u32 {
        for seconds in 0..60 {
            if self.run(1, other, other).await.least <= 0.855 {
                return seconds;
            }
        }
        panic!("not settled in a minute");
    }
}

const SEEDS: [u64; 4] = [1, 2, 3, 4];

#[tokio::test(start_paused = true)]
async fn a_calm_server_closes_nothing() {
    let mut plant = Plant::start(1).await;
    let seen = plant.run(30, 0, 0).await;
    assert!(seen.many > 150 && seen.most < 0.75, "{seen:?}");
    assert_eq!(seen.asked, 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_step_the_use_settles_below_the_threshold_and_does_not_swing() {
    for seed in SEEDS {
        let mut plant = Plant::start(seed).await;
        plant.run(120, 0, 0).await;
        let seen = plant.run(60, 0, 0).await;
        assert!(seen.most < 0.88 && seen.swing() < 0.08, "before: {seen:?}");
        let took = plant.settle(140).await;
        assert!(took <= 5, "{took} s");
        plant.run(20, 140, 140).await;
        let seen = plant.run(60, 140, 140).await;
        assert!(
            (0.8..0.86).contains(&seen.least) && seen.most < 0.88,
            "{seen:?}"
        );
        assert!(seen.swing() < 0.08, "{seen:?}");
        // The step goes back.
        plant.run(100, 0, 0).await;
        let after = plant.run(60, 0, 0).await;
        assert!(after.most < 0.88 && after.swing() < 0.08, "{after:?}");
        assert!(
            after.few as f64 > 1.3 * seen.many as f64,
            "{seen:?} {after:?}"
        );
        assert_eq!(plant.pressure.stats().aborted, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drift_is_followed_without_an_overshoot() {
    for seed in SEEDS {
        let mut plant = Plant::start(seed).await;
        plant.run(120, 0, 0).await;
        let seen = plant.run(120, 0, 180).await;
        assert!(seen.most < 0.88, "{seen:?}");
        let mut readiness = plant.server.readiness();
        let seen = plant.run(60, 180, 180).await;
        assert!(seen.most < 0.88 && seen.swing() < 0.08, "{seen:?}");
        assert!(readiness.is_ready());
        let waiting = tokio::time::timeout(SECOND, readiness.changed());
        assert!(waiting.await.is_err(), "it was ready all the time");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_spike_the_connections_come_back() {
    for seed in SEEDS {
        let mut plant = Plant::start(seed).await;
        plant.run(120, 0, 0).await;
        let before = plant.run(30, 0, 0).await;
        let spike = plant.run(1, 300, 300).await;
        assert!(spike.most > 0.95, "{spike:?}");
        // A sixteenth in each of four samples, and one at the edge.
        assert!(spike.asked <= before.many as u64 * 5 / 16 + 5, "{spike:?}");
        plant.run(30, 0, 0).await;
        let after = plant.run(30, 0, 0).await;
        assert!(after.few * 10 >= before.few * 9, "{before:?} {after:?}");
        assert!(plant.server.readiness().is_ready());
        assert_eq!(plant.clients.waiting(), 0);
    }
}
