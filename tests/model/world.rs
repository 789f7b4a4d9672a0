//! A run: servers, their clients, and the operations on them.

use crate::{
    client::Client,
    config::Config,
    launch::{Launch, Side},
    net::Place,
    operation::Operation,
    record::Gauge,
    trouble::Trouble,
    unruly::{command, obeys_drain},
};
use reagent::{Limit, Shutdown};
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
    /// The maximum, or more if it was lowered: what was open then, and the reserved places.
    pub most: usize,
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
            most: config.max(),
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

    pub fn sides(&self) -> impl Iterator<Item = &Side> {
        std::iter::once(&self.main).chain(&self.second)
    }

    pub async fn perform(&mut self, operation: Operation) {
        let fail = io::Error::from_raw_os_error;
        match operation {
            Operation::Connect { place } => {
                if let Some(place) = nth(self.open_places(|_| true), place) {
                    self.connect(place).await;
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
                self.gauge.set_ceiling(self.gauge.ceiling().max(max));
                self.main.handle.set_max_connections(max);
                self.allow_more();
            }
            Operation::LoseQueue {
                listener,
                failed_reopens,
            } => {
                if let Some(place) = self.listener(listener) {
                    if !place.listening.is_doomed {
                        place.lose(failed_reopens);
                    }
                }
            }
            Operation::LoseForGood { listener } => {
                if let Some(place) = self.listener(listener) {
                    place.listening.is_doomed = true;
                    place.script.never_reopen();
                    place.script.fail_accepts([fail(libc::EINVAL)]);
                }
            }
            Operation::Exhaust { listener, times } => {
                if let Some(place) = self.listener(listener) {
                    let errors = (0..times).map(|_| fail(libc::EMFILE));
                    place.script.fail_accepts(errors);
                }
            }
            Operation::ConnectionErrors { listener, times } => {
                if let Some(place) = self.listener(listener) {
                    let errors = (0..times).map(|_| fail(libc::ECONNABORTED));
                    place.script.fail_accepts(errors);
                }
            }
            Operation::Listen { settings, patience } => self.listen(settings, patience).await,
            Operation::Close {
                listener,
                clients,
                is_awaited,
            } => self.close(listener, clients, is_awaited).await,
            Operation::PauseListener { listener } => self.pause(listener, true),
            Operation::ResumeListener { listener } => self.pause(listener, false),
            Operation::SetListenerMax { listener, max } => self.set_listener_max(listener, max),
            Operation::RemakeServices => self.remake_services().await,
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

    /// Reports that something is wrong at once.
    pub fn violation(&self, violation: String) {
        self.main.record.events().violations.push(violation);
    }
}

/// Returns the item with this number, modulo their number.
pub fn nth<T>(
    items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    number: usize,
) -> Option<T> {
    let mut items = items.into_iter();
    let index = number.checked_rem(items.len())?;
    items.nth(index)
}
