//! A thousand seeded runs of a set whose upstreams fail, hang, return, leave and are drained. What
//! the documentation promises holds at every step.

use super::kit::{MILLISECOND, Mode, Network, SECOND, Stream};
use reagent_layers::upstream::{
    Balance, Check, Connected, Ejection, Key, Upstream, UpstreamError, UpstreamState, Upstreams,
};
use std::collections::VecDeque;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

const SEEDS: u64 = 1000;
const STEPS: usize = 40;
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const MODES: [Mode; 5] = [
    Mode::Serves,
    Mode::Serves,
    Mode::Refuses,
    Mode::Hangs,
    Mode::Takes(SECOND),
];

/// What a client has got, and when it asked.
type Asked = (Result<Connected<Stream>, UpstreamError>, Instant);

struct World {
    seed: u64,
    random: fastrand::Rng,
    network: Network,
    modes: [Mode; NAMES.len()],
    drained: [bool; NAMES.len()],
    present: [bool; NAMES.len()],
    /// Since when each upstream could have served every client.
    steady: [Option<Instant>; NAMES.len()],
    set: Upstreams<String>,
    max: usize,
    retries: usize,
    /// The number of upstreams that are ejected at most.
    cap: usize,
    clients: JoinSet<Asked>,
    open: VecDeque<Connected<Stream>>,
    _driver: JoinSet<()>,
    seen: Seen,
}

/// What has happened in all runs, to show that the invariants were put to the test.
#[derive(Debug, Default)]
struct Seen {
    served: usize,
    failed: usize,
    retried: usize,
    most_ejected: usize,
    most_waiting: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let (share, cap) = [(0.0, 1), (0.5, 2)][random.usize(..2)];
        let retries = [2, NAMES.len()][random.usize(..2)];
        let mut builder = Upstreams::builder()
            .seed(seed)
            .retries(retries)
            .timeout(20 * SECOND)
            .ejection(Ejection::new().max_share(share));
        if random.bool() {
            builder = builder.balance(Balance::Hash);
        }
        let (network, set) = (Network::default(), builder.build([]));
        let mut driver = JoinSet::new();
        if random.bool() {
            driver.spawn(set.check(Check::connect(), network.clone()));
        }
        let mut world = World {
            seed,
            network,
            modes: [Mode::Serves; NAMES.len()],
            drained: [false; NAMES.len()],
            present: [false; NAMES.len()],
            steady: [None; NAMES.len()],
            set,
            max: [2, 5, usize::MAX][random.usize(..3)],
            retries,
            cap,
            clients: JoinSet::new(),
            open: VecDeque::new(),
            _driver: driver,
            seen: Seen::default(),
            random,
        };
        world.replace([true; NAMES.len()]);
        world
    }

    fn replace(&mut self, present: [bool; NAMES.len()]) {
        let names = NAMES
            .into_iter()
            .zip(present)
            .filter(|(_, is_present)| *is_present);
        self.set.set(
            names.map(|(name, _)| Upstream::new(name, name.to_owned()).max_connections(self.max)),
        );
        for at in 0..NAMES.len() {
            // One that was gone with all its connections is new.
            let is_new = self.present[at] != present[at];
            self.drained[at] &= !is_new;
            if is_new && present[at] {
                self.set.resume(NAMES[at]);
            }
        }
        self.present = present;
    }

    async fn step(&mut self) {
        let at = self.random.usize(..NAMES.len());
        match self.random.u32(..20) {
            0..9 => self.ask(),
            9..11 => drop(self.open.pop_front()),
            11 => {
                if let Some(connected) = self.open.pop_back() {
                    connected.guard.failed("it failed");
                }
            }
            12..14 => {
                self.modes[at] = MODES[self.random.usize(..MODES.len())];
                self.network.set(NAMES[at], self.modes[at]);
            }
            14 => self.drained[at] = self.set.drain(NAMES[at]) || self.drained[at],
            15 => self.drained[at] = !self.set.resume(NAMES[at]) && self.drained[at],
            16 => {
                let mut present = [true; NAMES.len()];
                present[at] = self.random.bool();
                self.replace(present);
            }
            // Some clients leave.
            17 => self.clients.abort_all(),
            _ => sleep(MILLISECOND * self.random.u32(..20_000)).await,
        }
        for at in 0..NAMES.len() {
            let serves = !matches!(self.modes[at], Mode::Refuses | Mode::Hangs);
            let is_steady = serves && self.present[at] && !self.drained[at];
            let steady = &mut self.steady[at];
            *steady = is_steady.then(|| steady.unwrap_or_else(Instant::now));
        }
        sleep(MILLISECOND).await;
        while let Some(asked) = self.clients.try_join_next() {
            if let Ok((connected, began)) = asked {
                self.take(connected, began);
            }
        }
        self.check();
    }

    fn ask(&mut self) {
        let key = Key::of(self.random.u64(..50).to_be_bytes());
        let (network, set) = (self.network.clone(), self.set.clone());
        let began = Instant::now();
        let connected = async move { (network.connect(&set, key).await, began) };
        self.clients.spawn(connected);
    }

    fn take(&mut self, connected: Result<Connected<Stream>, UpstreamError>, began: Instant) {
        let seed = self.seed;
        match connected {
            Ok(connected) => {
                self.open.push_back(connected);
                self.seen.served += 1;
            }
            Err(error) => {
                assert!(
                    error.attempts().len() <= self.retries + 1,
                    "seed {seed}: {error}"
                );
                self.seen.failed += 1;
                self.seen.retried += error.attempts().len().saturating_sub(1);
                // With a retry for each upstream and without limits, one that serves is found.
                let is_steady = |steady: &Option<Instant>| steady.is_some_and(|at| at <= began);
                let could = self.retries >= NAMES.len() && self.max == usize::MAX;
                if could && self.steady.iter().any(is_steady) {
                    panic!("seed {seed}: {error}, {:?}", self.set.stats());
                }
            }
        }
    }

    fn check(&mut self) {
        let (seed, stats) = (self.seed, self.set.stats());
        for stats in &stats {
            let used = stats.open + stats.connecting;
            assert!(used <= self.max, "seed {seed}: {stats:?}");
        }
        let (open, known) = (
            stats.iter().map(|stats| stats.open).sum::<usize>(),
            self.open.len(),
        );
        let taken = open.checked_sub(known).expect("connections are counted");
        assert!(taken <= self.clients.len(), "seed {seed}: {open} open");
        let ejected = stats
            .iter()
            .filter(|stats| stats.state == UpstreamState::Ejected);
        let ejected = ejected.count();
        assert!(ejected <= self.cap, "seed {seed}: {ejected} ejected");
        self.seen.most_ejected = self.seen.most_ejected.max(ejected);
        self.seen.most_waiting = self.seen.most_waiting.max(self.set.waiting());
    }

    /// Everything is mended, all clients leave, and after some time all upstreams serve again.
    async fn recover(&mut self) {
        self.replace([true; NAMES.len()]);
        for name in NAMES {
            self.network.set(name, Mode::Serves);
            self.set.resume(name);
        }
        self.clients.shutdown().await;
        self.open.clear();
        sleep(120 * SECOND).await;
        let is_on_trial = |set: &Upstreams<String>| {
            let mut stats = set.stats().into_iter();
            stats.any(|stats| stats.state == UpstreamState::Trial)
        };
        for _ in 0..2000 {
            if !is_on_trial(&self.set) {
                break;
            }
            let key = Key::of(self.random.u64(..).to_be_bytes());
            self.network.name(&self.set, key).await;
        }
        sleep(20 * SECOND).await;
        for stats in self.set.stats() {
            assert_eq!(
                stats.state,
                UpstreamState::Up,
                "seed {}: {stats:?}",
                self.seed
            );
            // A check may be under way, but it is no connection.
            assert_eq!((stats.open, stats.connecting), (0, 0), "seed {}", self.seed);
        }
        assert_eq!(self.set.waiting(), 0);
    }
}

#[test]
fn what_is_promised_holds_in_a_thousand_runs_with_failures() {
    let mut all = Seen::default();
    for seed in 0..SEEDS {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut world = World::new(seed);
            for _ in 0..STEPS {
                world.step().await;
            }
            world.recover().await;
            all.served += world.seen.served;
            all.failed += world.seen.failed;
            all.retried += world.seen.retried;
            all.most_ejected = all.most_ejected.max(world.seen.most_ejected);
            all.most_waiting = all.most_waiting.max(world.seen.most_waiting);
        });
    }
    // The runs come close enough to the bounds to be a test of them.
    assert!(
        all.served > 10_000 && all.failed > 200 && all.retried > 40,
        "{all:?}"
    );
    assert!(all.most_ejected == 2 && all.most_waiting > 5, "{all:?}");
}
