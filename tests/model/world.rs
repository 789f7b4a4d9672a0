//! A run: servers, their clients, and the operations on them.

use crate::{
    client::Client,
    config::{Config, LimitBy},
    launch::{Launch, Side},
    net::Place,
    operation::{MOST_CLIENTS, Operation},
    record::Gauge,
    trouble::Trouble,
    unruly::{command, obeys_drain},
};
use reagent::{ConnectionHandle, Limit, Shutdown};
use std::{collections::BTreeMap, io, time::Duration};

pub struct World {
    pub config: Config,
    /// In memory, the clock is paused, which makes waiting free and runs reproducible.
    pub in_memory: bool,
    pub main: Side,
    /// The server that shares the limit of the main one.
    pub second: Option<Side>,
    pub places: Vec<Place>,
    pub limit: Limit,
    pub gauge: Gauge,
    pub trouble: Trouble,
    pub clients: Vec<Client>,
    pub acceptors: usize,
    pub paused: bool,
    /// Addresses that are lost permanently.
    pub doomed: Vec<bool>,
    /// The required outcomes of connections, according to the operations on them.
    pub expected: BTreeMap<u64, &'static str>,
    /// The number of clients that were closed before a greeting, and have left.
    pub left_ungreeted: usize,
}

impl World {
    pub async fn start(config: Config, in_memory: bool) -> Result<World, String> {
        let (limit, gauge) = (Limit::new(config.max()), Gauge::new(config.max()));
        let trouble = Trouble::default();
        let mut launch = Launch::new(config, in_memory, &limit, &gauge);
        let main = launch.main(&trouble).await?;
        let second = match config.has_second_server() {
            true => Some(launch.second().await?),
            false => None,
        };
        let places = launch.places;
        Ok(World {
            doomed: vec![false; config.addresses],
            acceptors: config.acceptors,
            config,
            in_memory,
            main,
            second,
            places,
            limit,
            gauge,
            trouble,
            clients: Vec::new(),
            paused: false,
            expected: BTreeMap::new(),
            left_ungreeted: 0,
        })
    }

    pub fn is_pausing(&self) -> bool {
        self.paused || self.acceptors == 0
    }

    /// Returns the server of this place, and whether it is the second one.
    pub fn side(&self, place: usize) -> (&Side, bool) {
        match &self.second {
            Some(second) if place == self.config.addresses => (second, true),
            _ => (&self.main, false),
        }
    }

    pub fn max(&self) -> usize {
        match self.config.limit {
            LimitBy::Shared(_) => self.limit.max(),
            _ => self
                .main
                .handle
                .stats()
                .max_connections
                .unwrap_or(usize::MAX),
        }
    }

    pub fn sides(&self) -> impl Iterator<Item = &Side> {
        std::iter::once(&self.main).chain(&self.second)
    }

    pub async fn perform(&mut self, operation: Operation) {
        let fail = io::Error::from_raw_os_error;
        match operation {
            Operation::Connect { place } => {
                if self.clients.len() < MOST_CLIENTS {
                    // Connecting fails if no server listens there any more.
                    if let Ok(stream) = self.places[place].connect().await {
                        self.clients.push(Client::new(place, stream));
                    }
                }
            }
            Operation::Send { client, bytes } => self.tell(client, &vec![b'.'; bytes]),
            Operation::HalfClose { client } => {
                if let Some(client) = nth(&mut self.clients, client) {
                    client.half_close();
                }
            }
            Operation::Leave { client, reset } => self.leave(client, reset),
            Operation::AllLeave => {
                while !self.clients.is_empty() {
                    self.leave(0, false);
                }
            }
            Operation::Fail { client } => {
                self.expect(client, "failed");
                self.tell(client, &[command::FAIL]);
            }
            Operation::Panic { client, with_bomb } => {
                self.expect(client, "panicked");
                self.tell(
                    client,
                    &[match with_bomb {
                        true => command::PANIC_WITH_BOMB,
                        false => command::PANIC,
                    }],
                );
            }
            Operation::Pause => {
                self.paused = true;
                self.main.handle.pause();
            }
            Operation::Resume => {
                self.paused = false;
                self.main.handle.resume();
            }
            Operation::SetAcceptors(count) => {
                self.acceptors = count;
                self.main.handle.set_acceptors(count);
            }
            Operation::SetMax(max) => {
                // More connections than the new limit are a violation only after the server has
                // settled.
                self.gauge.set_ceiling(self.gauge.ceiling().max(max));
                self.main.handle.set_max_connections(max);
            }
            Operation::LoseQueue {
                address,
                failed_reopens,
            } => {
                if !self.doomed[address] {
                    self.places[address].lose(failed_reopens);
                }
            }
            Operation::LoseForGood { address } => {
                self.doomed[address] = true;
                self.places[address].script.never_reopen();
                self.places[address]
                    .script
                    .fail_accepts([fail(libc::EINVAL)]);
            }
            Operation::Exhaust { address, times } => {
                let errors = (0..times).map(|_| fail(libc::EMFILE));
                self.places[address].script.fail_accepts(errors);
            }
            Operation::ConnectionErrors { address, times } => {
                let errors = (0..times).map(|_| fail(libc::ECONNABORTED));
                self.places[address].script.fail_accepts(errors);
            }
            Operation::Arm {
                spot,
                times,
                with_bomb,
            } => self.trouble.arm(spot, times, with_bomb),
            Operation::DrainConnection { client } => {
                if let Some(connection) = self.connection(client) {
                    if obeys_drain(connection.id()) {
                        self.expect(client, "drained");
                    }
                    connection.drain();
                }
            }
            Operation::AbortConnection { client } => {
                if let Some(connection) = self.connection(client) {
                    self.expect(client, "aborted");
                    connection.abort();
                }
            }
            Operation::LameDuck => {
                let shutdown = Shutdown::new(Duration::MAX).lame_duck(Duration::MAX);
                let shutdown = self.main.handle.shutdown(shutdown);
                // It continues after it has been requested.
                let _ = tokio::time::timeout(Duration::ZERO, shutdown).await;
            }
            Operation::Wait(duration) => {
                let short = duration.min(Duration::from_millis(20));
                tokio::time::sleep(if self.in_memory { duration } else { short }).await;
            }
        }
    }

    fn tell(&mut self, client: usize, bytes: &[u8]) {
        if let Some(client) = nth(&mut self.clients, client) {
            client.send(bytes);
        }
    }

    fn leave(&mut self, client: usize, reset: bool) {
        if self.clients.is_empty() {
            return;
        }
        let client = self.clients.remove(client % self.clients.len());
        self.left_ungreeted += usize::from(client.id().is_none() && client.ended);
        if reset {
            client.reset();
        }
    }

    /// Returns the open connection of a client of the main server.
    fn connection(&mut self, client: usize) -> Option<ConnectionHandle> {
        let addresses = self.config.addresses;
        let client = nth(&mut self.clients, client)?;
        let id = client.id().filter(|_| client.place < addresses)?;
        self.main.handle.connection(id)
    }

    /// With a paused clock nothing can interfere, so the connection must end with this outcome.
    fn expect(&mut self, client: usize, outcome: &'static str) {
        let is_fresh = nth(&mut self.clients, client).is_some_and(|client| client.takes_commands());
        if let Some(connection) = self.connection(client) {
            if self.in_memory && is_fresh && !self.main.alive.is_grudging(connection.id()) {
                self.expected.entry(connection.id()).or_insert(outcome);
            }
        }
    }
}

fn nth(clients: &mut [Client], number: usize) -> Option<&mut Client> {
    let count = clients.len();
    clients.get_mut(number.checked_rem(count)?)
}
