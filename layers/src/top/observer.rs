//! The observer that finds the clients with the most connections, bytes and refusals.

use super::summary::{Summary, TopClient};
use crate::{client::ClientKey, open_bytes::OpenBytes};
use reagent::{ConnectionHandle, Observer, Outcome, ServerHandle, event};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The default number of counters of each kind.
const CAPACITY: usize = 1024;

/// An [`Observer`] that finds the clients with the most connections, bytes and refusals. Clones
/// share the counts, even across servers.
///
/// Configure it before cloning it or passing it to a server.
#[derive(Clone)]
pub struct TopClients {
    shared: Arc<Shared>,
    prefixes: ClientKey,
}

struct Shared {
    open: OpenBytes,
    state: Mutex<State>,
}

struct State {
    /// One for each [`TopBy`].
    summaries: [Summary; 3],
    half_life: Option<Duration>,
    /// The time of the last halving.
    halved_at: Instant,
}

/// A quantity by which clients are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TopBy {
    /// The number of connections that have ended or were seen by [`TopClients::refresh`].
    Connections,
    /// The number of bytes received and sent.
    Bytes,
    /// The number of connections that a layer rejected.
    Refusals,
}

impl TopBy {
    /// All of them.
    pub const ALL: [TopBy; 3] = [TopBy::Connections, TopBy::Bytes, TopBy::Refusals];

    /// Returns the value as a label: `connections`, `bytes` or `refusals`.
    pub const fn as_str(self) -> &'static str {
        match self {
            TopBy::Connections => "connections",
            TopBy::Bytes => "bytes",
            TopBy::Refusals => "refusals",
        }
    }
}

impl fmt::Display for TopBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TopClients {
    /// Creates an observer with 1,024 counters of each kind, which take up to 500 KB together.
    pub fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    /// Creates an observer with `counters` counters of each kind. A capacity of 0 counts as 1.
    pub fn with_capacity(counters: usize) -> Self {
        TopClients {
            shared: Arc::new(Shared {
                open: OpenBytes::default(),
                state: Mutex::new(State {
                    summaries: TopBy::ALL.map(|_| Summary::new(counters)),
                    half_life: None,
                    halved_at: Instant::now(),
                }),
            }),
            prefixes: ClientKey::default(),
        }
    }

    /// Sets the number of leading bits of an address that identify a client. The default is 32 for
    /// IPv4 and 64 for IPv6, since an IPv6 client usually has a whole /64 (RFC 6177). Values above
    /// 32 and 128 mean the whole address.
    pub fn prefixes(mut self, v4: u8, v6: u8) -> Self {
        self.prefixes = ClientKey { v4, v6 };
        self
    }

    /// Halves all counts at this interval, so that the ranks show the clients that are active now.
    /// The default is `None`: the counts are those since the start.
    pub fn half_life(self, time: impl Into<Option<Duration>>) -> Self {
        let time = time.into().filter(|time| !time.is_zero());
        self.state().half_life = time;
        self
    }

    /// Returns the `n` clients with the most connections, in descending order.
    pub fn by_connections(&self, n: usize) -> Vec<TopClient> {
        self.by(TopBy::Connections, n)
    }

    /// Returns the `n` clients with the most bytes, in descending order.
    pub fn by_bytes(&self, n: usize) -> Vec<TopClient> {
        self.by(TopBy::Bytes, n)
    }

    /// Returns the `n` clients with the most refusals, in descending order.
    pub fn by_refusals(&self, n: usize) -> Vec<TopClient> {
        self.by(TopBy::Refusals, n)
    }

    /// Returns the `n` clients with the most of something, in descending order.
    pub fn by(&self, what: TopBy, n: usize) -> Vec<TopClient> {
        self.state().current(what).top(n)
    }

    /// Counts the open connections of `server`, and the bytes that they have carried so far.
    ///
    /// Without it, a connection is counted at its end. Call it before reading the counts to see
    /// clients whose connections last long.
    ///
    /// A connection whose PROXY header has not arrived yet is counted for the proxy.
    ///
    /// Each call visits every open connection. From the first call on, each open connection takes
    /// about 50 bytes of memory.
    pub fn refresh(&self, server: &ServerHandle) {
        self.shared.open.count_open(server, |connection, growth| {
            self.count(connection, growth.is_new, growth.bytes, false);
        });
    }

    fn count(
        &self,
        connection: &ConnectionHandle,
        is_new: bool,
        bytes: [u64; 2],
        is_refused: bool,
    ) {
        let Some(ip) = connection.peer_addr().ip() else {
            return;
        };
        let client = self.prefixes.of(ip);
        let mut state = self.state();
        for (what, weight) in [
            (TopBy::Connections, is_new.into()),
            (TopBy::Bytes, bytes.iter().sum()),
            (TopBy::Refusals, is_refused.into()),
        ] {
            state.current(what).add(client, weight);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns a summary with its counts halved up to now.
    fn current(&mut self, what: TopBy) -> &mut Summary {
        if let Some(half_life) = self.half_life {
            let passed = self.halved_at.elapsed().as_nanos() / half_life.as_nanos();
            if passed > 0 {
                let times = u32::try_from(passed).unwrap_or(u32::MAX);
                self.summaries
                    .iter_mut()
                    .for_each(|summary| summary.halve(times));
                // Of very many halvings, none leaves a count.
                self.halved_at = match half_life.checked_mul(times) {
                    Some(passed) if times < u64::BITS => self.halved_at + passed,
                    _ => Instant::now(),
                };
            }
        }
        &mut self.summaries[what as usize]
    }
}

impl Default for TopClients {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for TopClients {
    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        let growth = self.shared.open.rest(event.connection);
        let is_refused = matches!(event.outcome, Outcome::Rejected(_));
        self.count(event.connection, growth.is_new, growth.bytes, is_refused);
    }
}

impl fmt::Debug for TopClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TopClients");
        for what in TopBy::ALL {
            debug.field(what.as_str(), &self.by(what, 1));
        }
        debug.finish()
    }
}
