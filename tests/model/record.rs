//! The events reported to observers.

use crate::trouble::{Spot, Trouble};
use reagent::{Acceptor, Addr, ConnectionHandle, DrainReport, Observer, event};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

/// Counts the open connections of all servers that share a limit.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<Mutex<(usize, usize)>>);

impl Gauge {
    pub fn new(ceiling: usize) -> Self {
        Gauge(Arc::new(Mutex::new((0, ceiling))))
    }

    pub fn open(&self) -> usize {
        self.0.lock().unwrap().0
    }

    /// Sets the number of connections that must not be exceeded when one starts.
    pub fn set_ceiling(&self, ceiling: usize) {
        self.0.lock().unwrap().1 = ceiling;
    }

    pub fn ceiling(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

/// Records every event of a server, and any violations.
#[derive(Clone, Debug)]
pub struct Record {
    gauge: Gauge,
    events: Arc<Mutex<Events>>,
}

#[derive(Debug, Default)]
pub struct Events {
    pub connections: BTreeMap<u64, Seen>,
    pub acceptors: isize,
    pub listeners: isize,
    pub drains_started: usize,
    pub reports: Vec<DrainReport>,
    pub exhausted: isize,
    pub lost: usize,
    pub reopened: usize,
    /// The number of connections at an address that must not be exceeded when one starts.
    pub ceilings: BTreeMap<String, usize>,
    pub violations: Vec<String>,
}

#[derive(Debug)]
pub struct Seen {
    pub handle: ConnectionHandle,
    pub outcome: Option<String>,
}

impl Events {
    pub fn started(&self) -> usize {
        self.connections.len()
    }

    pub fn ended(&self, as_str: &str) -> usize {
        let outcomes = self
            .connections
            .values()
            .filter_map(|seen| seen.outcome.as_ref());
        outcomes
            .filter(|outcome| outcome.as_str() == as_str)
            .count()
    }

    pub fn open(&self) -> usize {
        let connections = self.connections.values();
        connections.filter(|seen| seen.outcome.is_none()).count()
    }

    /// Returns the connections of the listener with this address.
    pub fn at(&self, addr: &Addr) -> impl Iterator<Item = &Seen> {
        let connections = self.connections.values();
        connections.filter(move |seen| seen.handle.listener_addr() == addr)
    }

    pub fn started_at(&self, addr: &Addr) -> usize {
        self.at(addr).count()
    }

    pub fn ended_at(&self, addr: &Addr, as_str: &str) -> usize {
        let outcomes = self.at(addr).map(|seen| seen.outcome.as_deref());
        outcomes.filter(|outcome| *outcome == Some(as_str)).count()
    }

    pub fn open_at(&self, addr: &Addr) -> usize {
        self.at(addr).filter(|seen| seen.outcome.is_none()).count()
    }
}

impl Record {
    pub fn new(gauge: &Gauge) -> Self {
        Record {
            gauge: gauge.clone(),
            events: Arc::default(),
        }
    }

    pub fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap()
    }

    /// Drops the handles of connections, which would keep the server alive.
    pub fn clear(&self) {
        let connections = std::mem::take(&mut self.events().connections);
        drop(connections);
    }
}

impl Observer for Record {
    fn listener_started(&self, _: &event::Listening<'_>) {
        self.events().listeners += 1;
    }

    fn listener_lost(&self, _: &event::ListenerLost<'_>) {
        self.events().lost += 1;
    }

    fn listener_reopened(&self, _: &event::Listening<'_>) {
        self.events().reopened += 1;
    }

    fn listener_stopped(&self, _: &event::Listening<'_>) {
        self.events().listeners -= 1;
    }

    fn acceptor_started(&self, _: &Acceptor) {
        self.events().acceptors += 1;
    }

    fn acceptor_stopped(&self, _: &Acceptor) {
        self.events().acceptors -= 1;
    }

    fn exhausted(&self, _: &event::Exhausted<'_>) {
        self.events().exhausted += 1;
    }

    fn exhaustion_ended(&self, _: &event::ExhaustionEnded) {
        self.events().exhausted -= 1;
    }

    fn connection_started(&self, connection: &ConnectionHandle) {
        let (open, ceiling) = {
            let mut gauge = self.gauge.0.lock().unwrap();
            gauge.0 += 1;
            *gauge
        };
        let mut events = self.events();
        if open > ceiling {
            let violation = format!("{open} connections are open under a limit of {ceiling}");
            events.violations.push(violation);
        }
        let addr = connection.listener_addr();
        let open = 1 + events.open_at(addr);
        let ceiling = events.ceilings.get(&addr.to_string()).copied();
        if ceiling.is_some_and(|ceiling| open > ceiling) {
            let violation = format!("{open} connections are open at {addr}: {ceiling:?}");
            events.violations.push(violation);
        }
        let seen = Seen {
            handle: connection.clone(),
            outcome: None,
        };
        if events.connections.insert(connection.id(), seen).is_some() {
            let violation = format!("connection {} started twice", connection.id());
            events.violations.push(violation);
        }
    }

    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        {
            let mut gauge = self.gauge.0.lock().unwrap();
            gauge.0 = gauge.0.saturating_sub(1);
        }
        let mut events = self.events();
        let id = event.connection.id();
        let before = match events.connections.get_mut(&id) {
            Some(seen) => seen.outcome.replace(event.outcome.as_str().to_owned()),
            None => Some("not started".to_owned()),
        };
        if let Some(before) = before {
            let violation = format!("connection {id} ended, which was {before}");
            events.violations.push(violation);
        }
    }

    fn drain_started(&self, _: &event::DrainStarted) {
        self.events().drains_started += 1;
    }

    fn drain_ended(&self, report: &DrainReport) {
        self.events().reports.push(report.clone());
    }
}

/// An observer that panics when armed.
#[derive(Debug)]
pub struct Nervous(pub Trouble);

impl Nervous {
    fn startle(&self) {
        self.0.maybe_panic(Spot::ObserverPanics);
    }
}

impl Observer for Nervous {
    fn listener_lost(&self, _: &event::ListenerLost<'_>) {
        self.startle();
    }

    fn listener_reopened(&self, _: &event::Listening<'_>) {
        self.startle();
    }

    fn acceptor_started(&self, _: &Acceptor) {
        self.startle();
    }

    fn acceptor_stopped(&self, _: &Acceptor) {
        self.startle();
    }

    fn limit_reached(&self, _: &Acceptor) {
        self.startle();
    }

    fn connection_started(&self, _: &ConnectionHandle) {
        self.startle();
    }

    fn connection_ended(&self, _: &event::ConnectionEnded<'_>) {
        self.startle();
    }

    fn drain_started(&self, _: &event::DrainStarted) {
        self.startle();
    }
}
