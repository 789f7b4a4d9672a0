//! No client waits while there is capacity for it, in every combination of limits, layers and
//! acceptors.

use crate::support::{Echo, connect, make, served, service};
use reagent::{Addr, ConnectionService, Limit, Server, ServerHandle};
use std::{iter, time::Duration};
use tokio::task::JoinSet;
use tower::{
    Layer,
    limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer, RateLimitLayer},
    load_shed::LoadShedLayer,
};

#[derive(Clone, Copy, Debug)]
struct Case {
    limit: Limits,
    make: bool,
    layer: Layers,
    addresses: usize,
    acceptors: usize,
    reuse_port: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limits {
    Nothing,
    /// `max_connections(1)`.
    One,
    /// A limit of two, shared with a second server.
    SharedTwo,
}

/// The capacity of each layer is one; a rate limit admits the first client of each acceptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layers {
    Nothing,
    Concurrency,
    GlobalConcurrency,
    Rate,
    LoadShed,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for limit in [Limits::Nothing, Limits::One, Limits::SharedTwo] {
        for layer in [
            Layers::Nothing,
            Layers::Concurrency,
            Layers::GlobalConcurrency,
            Layers::Rate,
            Layers::LoadShed,
        ] {
            for make in [false, true] {
                // `RateLimit` is not `Clone`.
                if layer == Layers::Rate && !make {
                    continue;
                }
                for addresses in [1, 2] {
                    for (acceptors, reuse_port) in [(1, false), (3, false), (3, true)] {
                        let reuse_port = reuse_port && cfg!(target_os = "linux");
                        cases.push(Case {
                            limit,
                            make,
                            layer,
                            addresses,
                            acceptors,
                            reuse_port,
                        });
                    }
                }
            }
        }
    }
    cases
}

impl Case {
    fn server(self) -> Server {
        Server::bind(vec!["127.0.0.1:0"; self.addresses])
            .options(|options| options.reuse_port = self.reuse_port)
            .acceptors(self.acceptors)
    }

    async fn start(self, limit: &Limit) -> ServerHandle {
        let server = match self.limit {
            Limits::Nothing => self.server(),
            Limits::One => self.server().max_connections(1),
            Limits::SharedTwo => self.server().limit(limit.clone()),
        };
        match self.layer {
            Layers::Nothing => self.launch(server).await,
            Layers::Concurrency => {
                self.launch(server.layer(ConcurrencyLimitLayer::new(1)))
                    .await
            }
            Layers::GlobalConcurrency => {
                let layer = GlobalConcurrencyLimitLayer::new(1);
                self.launch(server.layer(layer)).await
            }
            Layers::Rate => {
                let layer = RateLimitLayer::new(1, Duration::from_secs(600));
                make(server.layer(layer)).await
            }
            Layers::LoadShed => self.launch(server.layer(LoadShedLayer::new())).await,
        }
    }

    async fn launch<L>(self, server: Server<L>) -> ServerHandle
    where
        L: Layer<Echo> + Clone + Send + 'static,
        L::Service: ConnectionService + Clone,
    {
        match self.make {
            true => make(server).await,
            false => server.start(service()).await.expect("to be started"),
        }
    }

    /// Returns whether another client can be served while one stays connected to the first address.
    fn has_room_beside_one(self, address: usize) -> bool {
        let stack_has_room = match self.layer {
            Layers::Nothing | Layers::LoadShed => true,
            Layers::GlobalConcurrency | Layers::Rate => false,
            // There is one for each acceptor. If each has its own queue, the kernel selects the
            // acceptor.
            Layers::Concurrency => {
                self.make && (address > 0 || (self.acceptors > 1 && !self.reuse_port))
            }
        };
        self.limit != Limits::One && stack_has_room
    }

    async fn check(self) -> Result<(), String> {
        let limit = Limit::new(2);
        let server = self.start(&limit).await;
        let second = match self.limit {
            Limits::SharedTwo => {
                let second = Server::bind("127.0.0.1:0").limit(limit.clone());
                Some(second.start(service()).await.expect("to be started"))
            }
            _ => None,
        };
        let addrs: Vec<Addr> = server.local_addrs().collect();
        let other = second.as_ref().map(|second| second.local_addr().clone());
        let say = |what: String| {
            let (open, taken) = (server.connection_count(), limit.taken());
            format!("{self:?}: {what} is not served; {open} open, {taken} permits taken")
        };

        // A client connects to each address in turn, starting with the last one, and leaves.
        let rounds = if self.layer == Layers::Rate { 1 } else { 2 };
        for round in 0..rounds {
            let places = (0..addrs.len()).rev().map(|index| &addrs[index]);
            for (index, addr) in places.chain(&other).enumerate() {
                let client = served(addr).await;
                drop(client.ok_or_else(|| say(format!("client {index} of round {round}")))?);
            }
        }

        // One client stays, and every other one for which there is capacity is served.
        if self.layer != Layers::Rate {
            let stays = served(&addrs[0]).await;
            let _stays = stays.ok_or_else(|| say("the client that stays".to_owned()))?;
            for (index, addr) in addrs.iter().enumerate() {
                if self.has_room_beside_one(index) {
                    let client = served(addr).await;
                    drop(client.ok_or_else(|| say(format!("client {index} beside one")))?);
                }
            }
            // A client that waits for the stack does not hold a permit that another server needs.
            let _waits = match self.layer {
                Layers::Concurrency | Layers::GlobalConcurrency => Some(connect(&addrs[0]).await),
                _ => None,
            };
            // With several acceptors, another one might have capacity and rightly take the permit.
            let has_place = self.layer == Layers::Concurrency && self.make && self.acceptors > 1;
            if let Some(other) = other.as_ref().filter(|_| !has_place) {
                let client = served(other).await;
                drop(client.ok_or_else(|| say("the second server's client".to_owned()))?);
            }
        }
        for server in iter::once(server).chain(second) {
            server.abort();
            let _ = server.wait().await;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_waits_while_there_is_room() {
    let mut cases = cases().into_iter();
    let (mut running, mut failures) = (JoinSet::new(), Vec::new());
    loop {
        while running.len() < 40 {
            let Some(case) = cases.next() else { break };
            running.spawn(case.check());
        }
        match running.join_next().await {
            Some(result) => failures.extend(result.expect("no panic").err()),
            None => break,
        }
    }
    assert!(
        failures.is_empty(),
        "{}\n{}",
        failures.len(),
        failures.join("\n")
    );
}
