//! A thousand seeded runs of three instances whose links to the store fail, and whose store is
//! restarted empty. The bounds of the module's documentation hold at every step.

use super::kit::{CLIENT, Instance, LEASE, MILLISECOND, SECOND, builder};
use reagent_layers::cluster::{Lost, MemoryStore, Mode, share};
use std::{collections::VecDeque, time::Duration};
use tokio::{
    io::DuplexStream,
    time::{Instant, sleep},
};

const SEEDS: u64 = 1000;
const STEPS: usize = 40;
const INSTANCES: usize = 3;
const MAX: usize = 5;

/// A small generator (SplitMix64), so that a seed means the same for ever.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// An instance, with what the bounds depend on.
struct Node {
    instance: Instance,
    open: VecDeque<Open>,
    /// Since when the link has been cut, if it is.
    cut: Option<Instant>,
    /// When the link was last mended, or the store restarted.
    healed: Instant,
}

struct Open {
    _client: DuplexStream,
    /// Whether the store has granted the place, and has known of it ever since.
    is_known: bool,
    /// Whether its lease may have ended while it was open, so that its place was granted again.
    has_lapsed: bool,
}

struct World {
    seed: u64,
    step: usize,
    random: Random,
    store: MemoryStore,
    nodes: Vec<Node>,
    lost: Lost,
    expected: usize,
    /// When the store last lost everything.
    restarted: Instant,
    /// The most places at a time that had not lapsed.
    most: usize,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mode = [Mode::Exact, Mode::Quota][random.below(2) as usize];
        let lost = [Lost::Closed, Lost::Share, Lost::Open][random.below(3) as usize];
        let expected = [0, INSTANCES][random.below(2) as usize];
        let store = MemoryStore::new();
        let mut nodes = Vec::new();
        for _ in 0..INSTANCES {
            let builder = builder().mode(mode).lost(lost).expected_instances(expected);
            nodes.push(Node {
                instance: Instance::start(&store, MAX as u32, builder).await,
                open: VecDeque::new(),
                cut: None,
                healed: Instant::now(),
            });
        }
        sleep(LEASE + SECOND).await;
        World {
            seed,
            step: 0,
            random,
            store,
            nodes,
            lost,
            expected,
            restarted: Instant::now() - 2 * LEASE,
            most: 0,
        }
    }

    async fn step(&mut self) {
        let at = self.random.below(INSTANCES as u64) as usize;
        match self.random.below(20) {
            0..9 => self.connect(at).await,
            9..13 => {
                self.nodes[at].open.pop_front();
                sleep(MILLISECOND).await;
            }
            13 => self.set_cut(at, true),
            14 => self.set_cut(at, false),
            15 => self.restart(),
            16 => {
                let delay = self.random.below(30);
                self.nodes[at]
                    .instance
                    .link
                    .delay(Duration::from_millis(delay));
            }
            _ => {
                let pause = self.random.below(LEASE.as_millis() as u64);
                sleep(Duration::from_millis(pause)).await;
            }
        }
        self.check();
    }

    fn set_cut(&mut self, at: usize, is_cut: bool) {
        let node = &mut self.nodes[at];
        node.instance.link.cut(is_cut);
        match (is_cut, node.cut) {
            (true, None) => node.cut = Some(Instant::now()),
            (false, Some(_)) => {
                node.cut = None;
                node.healed = Instant::now();
            }
            _ => {}
        }
    }

    /// The store forgets everything. All links break, as they do with a real store.
    fn restart(&mut self) {
        self.store.clear();
        self.restarted = Instant::now();
        for node in &mut self.nodes {
            node.open.iter_mut().for_each(|open| open.is_known = false);
        }
    }

    async fn connect(&mut self, at: usize) {
        let before = self.nodes[at].instance.cluster.stats();
        let client = self.nodes[at].instance.connect(CLIENT).await;
        let after = self.nodes[at].instance.cluster.stats();
        let Some(client) = client else { return };
        let is_lost = after.admitted_without_store > before.admitted_without_store;
        let node = &mut self.nodes[at];
        // It counts as known only if nothing has disturbed the instance for long enough.
        let calm = 2 * LEASE;
        let is_known = !is_lost
            && node.cut.is_none()
            && node.healed.elapsed() > calm
            && self.restarted.elapsed() > calm;
        node.open.push_back(Open {
            _client: client,
            is_known,
            has_lapsed: false,
        });
        if is_lost {
            let used = node.open.len();
            match self.lost {
                Lost::Closed => panic!("{}: admitted without the store", self.at()),
                Lost::Share => {
                    let instances = after.instances.max(self.expected);
                    let share = share(MAX as u32, instances) as usize;
                    assert!(used <= share, "{}: {used} above {share}", self.at());
                }
                _ => {}
            }
        }
    }

    fn at(&self) -> String {
        format!("seed {}, step {}", self.seed, self.step)
    }

    /// Checks the bounds on the connections that are open.
    fn check(&mut self) {
        for node in &mut self.nodes {
            // The last renewal may have been two thirds of a lease before the link was cut.
            if node.cut.is_some_and(|cut| cut.elapsed() >= LEASE / 2) {
                for open in &mut node.open {
                    (open.is_known, open.has_lapsed) = (false, true);
                }
            }
        }
        let count = |filter: fn(&Open) -> bool| -> usize {
            let open = self.nodes.iter().flat_map(|node| &node.open);
            open.filter(|open| filter(open)).count()
        };
        let known = count(|open| open.is_known);
        assert!(known <= MAX, "{}: {known} known places", self.at());
        if self.lost == Lost::Open || self.expected < INSTANCES {
            return;
        }
        let live = count(|open| !open.has_lapsed);
        let shares = (INSTANCES - 1) * share(MAX as u32, INSTANCES) as usize;
        assert!(live <= MAX + shares, "{}: {live} places", self.at());
        self.most = self.most.max(live);
        for node in &self.nodes {
            let open = node.open.len();
            assert!(open <= MAX, "{}: {open} at one instance", self.at());
        }
    }

    /// Everything is mended and all clients go. After the stated time, a client has all its places
    /// again, at any instance.
    async fn recover(&mut self) {
        for at in 0..INSTANCES {
            self.set_cut(at, false);
            self.nodes[at].instance.link.delay(Duration::ZERO);
            self.nodes[at].open.clear();
        }
        // The pause before a probe, the lease of what is unknown, and two renewals of idle places.
        sleep(LEASE / 3 + LEASE + 2 * LEASE / 3).await;
        let at = self.random.below(INSTANCES as u64) as usize;
        let open = self.nodes[at].instance.connect_many(CLIENT, MAX + 1).await;
        assert_eq!(open.len(), MAX, "{}: after the recovery", self.at());
    }
}

#[test]
fn the_stated_bounds_hold_in_a_thousand_runs_with_failures() {
    let mut most = 0;
    for seed in 0..SEEDS {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut world = World::new(seed).await;
            for step in 0..STEPS {
                world.step = step;
                world.step().await;
            }
            world.recover().await;
            most = most.max(world.most);
        });
    }
    // The runs come close enough to the bound to be a test of it.
    assert!(most > MAX, "{most}");
}
