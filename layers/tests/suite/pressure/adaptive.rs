//! Limits that adapt, with a plant that becomes slower when more is in use than it has room for.

use super::SECOND;
use reagent::{Limit, Server, handle, limit::Permit, testing::MemoryListener};
use reagent_layers::{
    pressure::{Adaptive, Aimd, Algorithm, Gradient, Window},
    sniff::SniffLayer,
};
use std::time::Duration;
use tokio::{
    io::AsyncWriteExt,
    time::{advance, sleep},
};
use tower::{Layer, Service, service_fn};

const STEP: Duration = Duration::from_millis(100);

/// A service that takes `base` until more than `capacity` requests are in it, and proportionally
/// longer from then on.
struct Plant {
    limit: Limit,
    adaptive: Adaptive,
    permits: Vec<Permit>,
    dice: u64,
    capacity: usize,
    base: Duration,
    /// The requests that clients would like to have in it.
    demand: usize,
    /// The most permits that are given back in a step.
    leaving: usize,
}

const RANGE: std::ops::RangeInclusive<usize> = 20..=1000;

impl Plant {
    fn new(seed: u64, algorithm: impl Algorithm) -> Self {
        let limit = Limit::new(100);
        Plant {
            adaptive: Adaptive::new(limit.clone(), algorithm).range(RANGE),
            limit,
            permits: Vec::new(),
            dice: seed,
            capacity: 200,
            base: Duration::from_millis(20),
            demand: 2000,
            leaving: usize::MAX,
        }
    }

    /// A number from 0.9 to 1.1; one sample of ten is five times that, for a slow client.
    fn noise(&mut self) -> f64 {
        let step = self.dice.wrapping_mul(6364136223846793005);
        self.dice = step.wrapping_add(1442695040888963407);
        let n = (self.dice >> 33) % 1000;
        let noise = 0.9 + 0.2 * (n as f64 / 1000.0);
        if n % 10 == 0 { 5.0 * noise } else { noise }
    }

    /// Runs for a time, and returns the least and the greatest limit.
    async fn run(&mut self, seconds: usize) -> (usize, usize) {
        let (mut least, mut most) = (usize::MAX, 0);
        for _ in 0..seconds * 10 {
            let wanted = self.demand.min(self.limit.max());
            let least_open = self.permits.len().saturating_sub(self.leaving);
            self.permits.truncate(wanted.max(least_open));
            while self.permits.len() < self.demand {
                let Some(permit) = self.limit.try_acquire() else {
                    break;
                };
                self.permits.push(permit);
            }
            let load = (self.permits.len() as f64 / self.capacity as f64).max(1.0);
            for _ in 0..10 {
                let noise = self.noise();
                self.adaptive.sample(self.base.mul_f64(load * noise));
            }
            advance(STEP).await;
            let limit = self.limit.max();
            assert!(RANGE.contains(&limit), "{limit}");
            (least, most) = (least.min(limit), most.max(limit));
        }
        (least, most)
    }

    /// Returns how many seconds it takes until the limit is within `range`.
    async fn settle(&mut self, range: std::ops::Range<usize>) -> usize {
        for seconds in 0..600 {
            if range.contains(&self.limit.max()) {
                return seconds;
            }
            self.run(1).await;
        }
        panic!(
            "{} is not within {range:?} after ten minutes",
            self.limit.max()
        );
    }
}

fn swing((least, most): (usize, usize)) -> f64 {
    (most - least) as f64 / most as f64
}

const SEEDS: [u64; 4] = [1, 2, 3, 4];

/// The load at which the target of [`aimd`] is met.
const AT_TARGET: usize = 300;

fn aimd() -> Aimd {
    Aimd::new(Duration::from_millis(30))
}

#[tokio::test(start_paused = true)]
async fn aimd_settles_at_its_target_and_follows_a_step() {
    for seed in SEEDS {
        let mut plant = Plant::new(seed, aimd());
        let took = plant
            .settle(AT_TARGET * 95 / 100..AT_TARGET * 11 / 10)
            .await;
        assert!(took <= 80, "{took} s to rise");
        let seen = plant.run(120).await;
        assert!(
            swing(seen) <= 0.1 && seen.0 >= 270 && seen.1 <= 330,
            "{seen:?}"
        );
        // Half of the capacity is lost.
        plant.capacity = 100;
        let took = plant.settle(130..155).await;
        assert!(took <= 15, "{took} s to fall");
        let seen = plant.run(120).await;
        assert!(swing(seen) <= 0.1, "{seen:?}");
        plant.capacity = 200;
        let took = plant
            .settle(AT_TARGET * 95 / 100..AT_TARGET * 11 / 10)
            .await;
        assert!(took <= 60, "{took} s to recover");
    }
}

#[tokio::test(start_paused = true)]
async fn the_gradient_settles_without_a_target_and_follows_a_step() {
    for seed in SEEDS {
        let mut plant = Plant::new(seed, Gradient::new());
        let took = plant.settle(300..360).await;
        assert!(took <= 80, "{took} s to rise");
        plant.run(60).await;
        let seen = plant.run(300).await;
        assert!(swing(seen) <= 0.1 && seen.1 < 400, "{seen:?}");
        plant.capacity = 100;
        let took = plant.settle(150..220).await;
        assert!(took <= 20, "{took} s to fall");
        plant.run(30).await;
        let seen = plant.run(120).await;
        assert!(swing(seen) <= 0.1, "{seen:?}");
        plant.capacity = 200;
        let took = plant.settle(300..420).await;
        assert!(took <= 60, "{took} s to recover");
    }
}

/// The service itself becomes slower, within ten minutes, and is not at its limit.
#[tokio::test(start_paused = true)]
async fn the_gradient_follows_a_drift_that_load_does_not_explain() {
    for seed in SEEDS {
        let mut plant = Plant::new(seed, Gradient::new());
        plant.demand = 60;
        let (least, _) = plant.run(60).await;
        assert!(least >= 100, "{least}");
        for _ in 0..60 {
            plant.base = plant.base.mul_f64(1.02);
            let (least, most) = plant.run(10).await;
            assert!(least >= 95 && most <= 130, "{least} {most}");
        }
        assert!(plant.base.as_millis() >= 60);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_spike_both_recover() {
    for seed in SEEDS {
        for (name, mut plant) in [
            ("aimd", Plant::new(seed, aimd())),
            ("gradient", Plant::new(seed, Gradient::new())),
        ] {
            plant.run(150).await;
            let before = plant.limit.max();
            let base = plant.base;
            plant.base = 20 * base;
            let (least, _) = plant.run(2).await;
            assert!(least < before, "{name}");
            plant.base = base;
            let took = plant.settle(before * 9 / 10..before * 12 / 10).await;
            assert!(took <= 60, "{name}: {took} s");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_bounds_are_never_left() {
    for algorithm in [0.0, f64::MAX, f64::NAN, -1.0] {
        struct Fixed(f64);
        impl Algorithm for Fixed {
            fn next(&mut self, _: &Window) -> f64 {
                self.0
            }
        }
        let mut plant = Plant::new(1, Fixed(algorithm));
        let expected = match algorithm {
            n if n.is_nan() => 100,
            n if n > 0.0 => 1000,
            _ => 20,
        };
        plant.run(5).await;
        assert_eq!(plant.limit.max(), expected, "{algorithm}");
    }
    // From the start.
    let limit = Limit::unlimited();
    let adaptive = Adaptive::new(limit.clone(), aimd()).range(5..=50);
    assert_eq!((limit.max(), adaptive.limit()), (50, 50));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_not_used_does_not_grow() {
    let mut plant = Plant::new(1, aimd());
    plant.demand = 45;
    let seen = plant.run(60).await;
    assert_eq!(seen, (100, 100));
    plant.demand = 55;
    plant.run(60).await;
    let grown = plant.limit.max();
    assert!(
        (108..=116).contains(&grown),
        "until half of it is used: {grown}"
    );
}

/// Connections last. A limit that was lowered has an effect only when some of them have ended.
#[tokio::test(start_paused = true)]
async fn a_limit_that_has_no_effect_yet_is_not_lowered_further() {
    let mut plant = Plant::new(1, aimd());
    plant.settle(285..330).await;
    plant.leaving = 1;
    plant.capacity = 100;
    let (least, _) = plant.run(60).await;
    assert!(least >= 120, "{least}");
    plant.leaving = 0;
    plant.capacity = 10;
    let before = plant.limit.max();
    plant.run(3).await;
    let lowered = plant.limit.max();
    plant.run(600).await;
    assert_eq!(plant.limit.max(), lowered);
    assert!(lowered * 2 >= before, "once: {before} {lowered}");
}

#[tokio::test(start_paused = true)]
async fn requests_and_upgrades_are_samples() {
    let limit = Limit::new(100);
    let adaptive = Adaptive::new(limit.clone(), aimd());
    let slow = service_fn(async |millis: u64| {
        sleep(Duration::from_millis(millis)).await;
        if millis == 0 { Err(()) } else { Ok(()) }
    });
    let mut service = adaptive.layer().layer(slow);
    for _ in 0..20 {
        service.call(60).await.unwrap();
    }
    assert_eq!(limit.max(), 50, "twice the target");
    // Failures do not count.
    sleep(SECOND).await;
    for _ in 0..100 {
        service.call(0).await.unwrap_err();
    }
    assert_eq!(limit.max(), 50);

    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .observe(adaptive.upgrades(reagent_layers::sniff::TIMEOUT))
        .layer(SniffLayer::new())
        .start(handle(async |_: reagent::Connection<_>| {
            std::io::Result::Ok(())
        }))
        .await
        .unwrap();
    sleep(SECOND).await;
    for _ in 0..20 {
        let mut client = clients.connect().await.unwrap();
        sleep(Duration::from_millis(60)).await;
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        sleep(STEP).await;
    }
    assert!(limit.max() < 30, "{limit:?}");
    drop(server);
}
