//! The phases of a server with all layers, until ten thousand connections have ended.

use super::{
    HANDSHAKES, Parts, proxy,
    script::{Script, Then, WAYS, Way, address},
};
use crate::{endings::all_ended, support::until};
use reagent::{Limit, ServerHandle};
use reagent_layers::limit::AcceptRate;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    task::JoinSet,
    time::{Instant, sleep},
};

const SECOND: Duration = Duration::from_secs(1);
const AT_ONCE: usize = 400;

/// The number of connections in each phase in which all end in the same way.
pub const EACH: usize = 200;

/// The server, its adjustable limits, and the outcomes expected so far.
pub struct Run {
    pub script: Script,
    pub server: ServerHandle,
    pub shed_rate: AcceptRate,
    pub shed_in_flight: Limit,
    pub expected: BTreeMap<String, usize>,
    pub number: usize,
}

impl Run {
    fn expect(&mut self, outcome: &str, count: usize) {
        *self.expected.entry(outcome.to_owned()).or_default() += count;
    }

    /// Runs `count` clients one after the other, with this behaviour and outcome.
    async fn all_go(&mut self, way: Way, count: usize, outcome: &str) {
        for _ in 0..count {
            self.number += 1;
            self.script.act(way, self.number).await;
        }
        all_ended(&self.server).await;
        self.expect(outcome, count);
    }

    /// Runs all [`WAYS`] mixed, with many clients at a time.
    pub async fn mixed(&mut self) {
        let mut ways: Vec<_> = WAYS
            .iter()
            .flat_map(|(way, count, _)| (0..*count).map(move |nth| (nth * 10_000 / count, *way)))
            .collect();
        ways.sort_by_key(|(at, _)| *at);
        let (ways, next) = (Arc::new(ways), Arc::new(AtomicUsize::new(0)));
        self.number += ways.len();
        let mut clients = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (script, ways, next) = (self.script.clone(), ways.clone(), next.clone());
            clients.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    let Some((_, way)) = ways.get(number) else {
                        return;
                    };
                    script.act(*way, number).await;
                }
            });
        }
        clients.join_all().await;
        all_ended(&self.server).await;
        for (_, count, outcome) in WAYS {
            self.expect(outcome, count);
        }
    }

    /// Stalled handshakes hold all permits, so that later clients time out too.
    pub async fn stalled(&mut self) {
        let mut clients = JoinSet::new();
        for number in 0..EACH {
            let script = self.script.clone();
            clients.spawn(async move { script.act(Way::StalledHandshake, number).await });
        }
        clients.join_all().await;
        all_ended(&self.server).await;
        self.expect("timed out: tls handshake", EACH);
    }

    /// Refuses clients at each limit, while the limit admits none.
    pub async fn over_limits(&mut self) {
        let comes = Way::Hello(b"", Then::Stays);
        let Parts {
            per_client,
            per_client_rate,
            ..
        } = self.script.parts.clone();

        per_client.set_max(0);
        self.all_go(comes, EACH, "rejected: client connections")
            .await;
        per_client.set_max(usize::MAX);

        self.shed_in_flight.set_max(0);
        self.all_go(comes, EACH, "rejected: in flight").await;
        self.shed_in_flight.set_max(usize::MAX);

        self.shed_rate.set(0.0, 1.0);
        self.all_go(Way::Told(b'c'), 1, "completed").await;
        self.all_go(comes, EACH, "rejected: accept rate").await;
        self.shed_rate.set(1e9, 1e9);
        sleep(SECOND).await;

        per_client_rate.set(0.0, 1.0);
        self.all_go(Way::Told(b'c'), 1, "completed").await;
        let again = Way::Named(address(self.number));
        self.all_go(again, EACH, "rejected: client rate").await;
        per_client_rate.set(1e9, 1e9);
        sleep(SECOND).await;
    }

    /// Aborts connections before they reach their handlers.
    pub async fn aborted(&mut self) {
        let mut clients = Vec::new();
        for _ in 0..EACH / 2 {
            clients.push(self.script.clients.connect_from(proxy()).await.unwrap());
        }
        let open = || self.server.connections();
        until("all are open", || open().len() == EACH / 2).await;
        for info in open() {
            self.server.connection(info.id).unwrap().abort();
        }
        all_ended(&self.server).await;
        self.expect("aborted", EACH / 2);
    }

    /// Checks that all handshake permits are free: all but one are taken, and the last one is
    /// enough.
    pub async fn handshakes_are_free(&mut self) {
        let began = Instant::now();
        let mut stalled = JoinSet::new();
        for number in 1..HANDSHAKES {
            let script = self.script.clone();
            stalled.spawn(async move { script.act(Way::StalledHandshake, number).await });
        }
        sleep(SECOND).await;
        let mut last = self.script.telling(0, b'w').await;
        assert_eq!(began.elapsed(), SECOND);
        stalled.join_all().await;
        last.shutdown().await.unwrap();
        drop(last);
        self.expect("timed out: tls handshake", HANDSHAKES - 1);
    }

    /// Drains connections of which some obey and some do not.
    pub async fn drained(&mut self) {
        let mut last = Vec::new();
        for number in 0..EACH / 2 {
            last.push(self.script.telling(number, b'w').await);
            last.push(self.script.telling(number, b'i').await);
        }
        let report = self.server.drain(SECOND).await;
        assert_eq!((report.finished, report.aborted), (EACH / 2 + 1, EACH / 2));
        self.expect("drained", EACH / 2 + 1);
        self.expect("aborted", EACH / 2);
    }
}
