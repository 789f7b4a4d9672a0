//! The largest sums of a stream, in bounded memory.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    net::IpAddr,
};

/// The space-saving algorithm of Metwally, Agrawal and El Abbadi ("Efficient Computation of
/// Frequent and Top-k Elements in Data Streams", 2005), for items with weights.
///
/// It has a fixed number of counters. A client without one takes over the smallest, with its count
/// as the possible error. So with `m` counters and a total weight of `n`, a count exceeds the truth
/// by at most `n / m`, and every client that has more than `n / m` has a counter.
#[derive(Debug)]
pub(super) struct Summary {
    counters: HashMap<IpAddr, Counter>,
    /// The clients by count.
    in_order: BTreeSet<(u64, IpAddr)>,
    capacity: usize,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    count: u64,
    /// The part of `count` that may belong to others.
    error: u64,
}

/// One of the clients with the most of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopClient {
    /// The first address of the client's network.
    pub client: IpAddr,
    /// The most that the client can have. It is never less than the truth.
    pub count: u64,
    /// The most by which `count` can exceed the truth.
    pub error: u64,
}

impl Summary {
    pub(super) fn new(capacity: usize) -> Self {
        Summary {
            counters: HashMap::new(),
            in_order: BTreeSet::new(),
            capacity: capacity.max(1),
        }
    }

    pub(super) fn add(&mut self, client: IpAddr, weight: u64) {
        if weight == 0 {
            return;
        }
        let len = self.counters.len();
        let before = match self.counters.entry(client) {
            Entry::Occupied(entry) => {
                let before = *entry.get();
                self.in_order.remove(&(before.count, client));
                before
            }
            Entry::Vacant(_) if len < self.capacity => Counter { count: 0, error: 0 },
            Entry::Vacant(_) => self.take_smallest(),
        };
        let counter = Counter {
            count: before.count.saturating_add(weight),
            ..before
        };
        self.counters.insert(client, counter);
        self.in_order.insert((counter.count, client));
    }

    /// Removes the smallest counter, and returns it for another client.
    fn take_smallest(&mut self) -> Counter {
        let Some((count, client)) = self.in_order.pop_first() else {
            return Counter { count: 0, error: 0 };
        };
        self.counters.remove(&client);
        Counter {
            count,
            error: count,
        }
    }

    /// Returns the `n` clients with the largest counts, in descending order.
    pub(super) fn top(&self, n: usize) -> Vec<TopClient> {
        let largest = self.in_order.iter().rev().take(n);
        largest
            .map(|&(count, client)| TopClient {
                client,
                count,
                error: self
                    .counters
                    .get(&client)
                    .map_or(0, |counter| counter.error),
            })
            .collect()
    }

    /// Halves all counts `times` times, and forgets those that become zero.
    pub(super) fn halve(&mut self, times: u32) {
        let halved = |count: u64| count.checked_shr(times).unwrap_or(0);
        self.counters.retain(|_, counter| {
            // A count that was rounded down was too small by less than one.
            counter.error = halved(counter.error);
            counter.count = halved(counter.count);
            counter.count > 0
        });
        let counters = self.counters.iter();
        self.in_order = counters
            .map(|(client, counter)| (counter.count, *client))
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A generator of pseudorandom numbers (xorshift64*).
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
        }

        fn unit(&mut self) -> f64 {
            (self.next() >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    fn client(n: usize) -> IpAddr {
        IpAddr::V4((n as u32).into())
    }

    /// Checks the bounds of the algorithm against an exact count.
    fn check(summary: &Summary, exact: &HashMap<IpAddr, u64>) {
        let total: u64 = exact.values().sum();
        let bound = total / summary.capacity as u64;
        let all = summary.top(usize::MAX);
        assert!(all.len() <= summary.capacity && all.len() == summary.counters.len());
        assert!(all.windows(2).all(|pair| pair[0].count >= pair[1].count));
        for top in &all {
            let truth = exact[&top.client];
            assert!(
                (top.count - top.error..=top.count).contains(&truth),
                "{top:?}: {truth}"
            );
            assert!(top.error <= bound, "{top:?}: {bound}");
        }
        for (client, truth) in exact.iter().filter(|(_, truth)| **truth > bound) {
            assert!(
                all.iter().any(|top| top.client == *client),
                "{client}: {truth}"
            );
        }
    }

    /// Adds weights of clients whose frequency falls with a power of their rank.
    fn zipf(seed: u64, exponent: f64, capacity: usize, heaviest: u64) -> usize {
        const CLIENTS: usize = 5_000;
        let mut random = Random(seed);
        let mut sum = 0.0;
        let steps: Vec<f64> = (1..=CLIENTS)
            .map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            })
            .collect();
        let mut summary = Summary::new(capacity);
        let mut exact = HashMap::<_, u64>::new();
        for _ in 0..20_000 {
            let at = random.unit() * sum;
            let client = client(steps.partition_point(|step| *step < at));
            let weight = 1 + random.next() % heaviest;
            summary.add(client, weight);
            *exact.entry(client).or_default() += weight;
        }
        check(&summary, &exact);
        let mut truth: Vec<_> = exact.into_iter().collect();
        truth.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let top = summary.top(10);
        let found = |(client, _): &&(IpAddr, u64)| top.iter().any(|top| top.client == *client);
        truth[..10].iter().filter(found).count()
    }

    #[test]
    fn the_bounds_hold_for_seeded_zipf_streams() {
        for seed in 1..=3 {
            for exponent in [0.8, 1.0, 1.2, 1.5] {
                for (capacity, heaviest) in [(16, 1), (64, 1), (64, 100_000), (256, 1_500)] {
                    zipf(seed, exponent, capacity, heaviest);
                }
            }
            // With the usual skew, the first ten are exact.
            assert_eq!(zipf(seed, 1.2, 256, 1), 10);
        }
    }

    #[test]
    fn the_bounds_hold_against_clients_that_come_once_each() {
        let mut summary = Summary::new(64);
        let mut exact = HashMap::new();
        let mut add = |summary: &mut Summary, client, weight| {
            summary.add(client, weight);
            *exact.entry(client).or_default() += weight;
        };
        for n in 0..20_000 {
            add(&mut summary, client(n + 10), 1);
            if n % 50 == 0 {
                add(&mut summary, client(1), 1);
            }
            add(&mut summary, client(2), 1 + (n % 3) as u64);
        }
        check(&summary, &exact);
        assert_eq!(summary.top(1)[0].client, client(2));
    }

    #[test]
    fn few_clients_are_counted_exactly_and_halved() {
        let mut summary = Summary::new(8);
        for n in 1..=8 {
            for _ in 0..n {
                summary.add(client(n), 10);
            }
            summary.add(client(n), 0);
        }
        let counts = |summary: &Summary| {
            let all = summary.top(usize::MAX);
            assert!(all.iter().all(|top| top.error == 0));
            all.iter().map(|top| top.count).collect::<Vec<_>>()
        };
        assert_eq!(counts(&summary), [80, 70, 60, 50, 40, 30, 20, 10]);
        summary.halve(2);
        assert_eq!(counts(&summary), [20, 17, 15, 12, 10, 7, 5, 2]);
        summary.halve(3);
        assert_eq!(counts(&summary), [2, 2, 1, 1, 1]);
        summary.halve(64);
        assert!(counts(&summary).is_empty() && summary.in_order.is_empty());
    }
}
