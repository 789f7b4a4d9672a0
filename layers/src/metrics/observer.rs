//! The observer that measures.

use super::{bytes::Bytes, listener::Listener, names, source::Source};
use ::metrics::{Counter, Gauge, Recorder};
use reagent::{Acceptor, Addr, ConnectionHandle, Observer, ServerHandle, event};
use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// An [`Observer`] that keeps the [metrics](super) of a server.
///
/// It may observe several servers by its clones; their listeners tell them apart.
#[derive(Clone)]
pub struct MetricsObserver {
    inner: Arc<Inner>,
}

struct Inner {
    source: Source,
    exhausted: Gauge,
    turned_away: Counter,
    bytes: Bytes,
    /// As many as the server has addresses: too few to hash.
    listeners: RwLock<Vec<(Addr, Listener)>>,
}

impl MetricsObserver {
    /// Measures into the global recorder, which has to be installed before: what is measured into none is
    /// lost, even if one comes later.
    ///
    /// For one that is not global, such as [`with_local_recorder`](::metrics::with_local_recorder) has, there is
    /// [`with_recorder`](Self::with_recorder): what happens in a server happens on many threads.
    pub fn new() -> Self {
        Self::of(Source(None))
    }

    /// Measures into this recorder, whatever the global one is.
    pub fn with_recorder(recorder: impl Recorder + Send + Sync + 'static) -> Self {
        Self::of(Source(Some(Arc::new(recorder))))
    }

    fn of(source: Source) -> Self {
        source.with(names::describe);
        MetricsObserver {
            inner: Arc::new(Inner {
                exhausted: source.gauge(&names::EXHAUSTED, Vec::new()),
                turned_away: source.counter(&names::TURNED_AWAY, Vec::new()),
                bytes: Bytes::default(),
                listeners: RwLock::default(),
                source,
            }),
        }
    }

    /// Counts the bytes that the open connections of `server` have carried so far, which otherwise are counted at
    /// their ends. Call it before each scrape, so that the rate of long connections is seen.
    ///
    /// It takes a moment for each connection, and once it was called, some 50 bytes for each that is open.
    pub fn refresh(&self, server: &ServerHandle) {
        self.inner.bytes.count_open(server, |connection, bytes| {
            self.at(connection.listener_addr(), |listener| {
                listener.carried(bytes);
            });
        });
    }

    /// Where what is not of a listener is measured.
    pub(super) fn source(&self) -> &Source {
        &self.inner.source
    }

    fn at(&self, addr: &Addr, measure: impl Fn(&Listener)) {
        let Inner {
            source, listeners, ..
        } = &*self.inner;
        let measured = |listeners: &[(Addr, Listener)]| {
            let listener = listeners.iter().find(|(known, _)| known == addr);
            listener.map(|(_, listener)| measure(listener)).is_some()
        };
        if measured(&listeners.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut listeners = listeners.write().unwrap_or_else(PoisonError::into_inner);
        if !measured(&listeners) {
            listeners.push((addr.clone(), Listener::new(source, addr)));
            measured(&listeners);
        }
    }
}

impl Default for MetricsObserver {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for MetricsObserver {
    fn listener_started(&self, event: &event::Listening<'_>) {
        // So that its metrics are there before its first client.
        self.at(event.addr, |_| ());
    }

    fn listener_lost(&self, event: &event::ListenerLost<'_>) {
        self.at(event.addr, |listener| listener.lost.increment(1));
    }

    fn listener_reopened(&self, event: &event::Listening<'_>) {
        self.at(event.addr, |listener| listener.reopened.increment(1));
    }

    fn acceptor_started(&self, acceptor: &Acceptor) {
        self.at(&acceptor.local_addr, |listener| {
            listener.acceptors.increment(1.0);
        });
    }

    fn acceptor_failed(&self, event: &event::AcceptorFailed<'_>) {
        self.at(&event.acceptor.local_addr, |listener| {
            listener.restarts.increment(1);
        });
    }

    fn acceptor_stopped(&self, acceptor: &Acceptor) {
        self.at(&acceptor.local_addr, |listener| {
            listener.acceptors.decrement(1.0);
        });
    }

    fn accept_failed(&self, event: &event::AcceptFailed<'_>) {
        self.at(&event.acceptor.local_addr, |listener| {
            listener.accept_errors.increment(event.class.as_str());
        });
    }

    /// Counts up and not to 1, so that of two servers one does not speak for the other.
    fn exhausted(&self, _: &event::Exhausted<'_>) {
        self.inner.exhausted.increment(1.0);
    }

    fn exhaustion_ended(&self, event: &event::ExhaustionEnded) {
        self.inner.exhausted.decrement(1.0);
        self.inner.turned_away.increment(event.turned_away);
    }

    fn limit_reached(&self, acceptor: &Acceptor) {
        self.at(&acceptor.local_addr, |listener| {
            listener.limit_reached.increment(1);
        });
    }

    fn limit_waited(&self, event: &event::LimitWaited<'_>) {
        self.at(&event.acceptor.local_addr, |listener| {
            listener.permit_wait.record(event.waited);
        });
    }

    fn connection_started(&self, connection: &ConnectionHandle) {
        self.at(connection.listener_addr(), |listener| {
            listener.accepted.increment(1);
            listener.active.increment(1.0);
        });
    }

    fn connection_upgraded(&self, event: &event::ConnectionUpgraded<'_>) {
        self.at(event.connection.listener_addr(), |listener| {
            listener.connection_upgraded(event);
        });
    }

    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        let bytes = self.inner.bytes.rest(event.connection);
        self.at(event.connection.listener_addr(), |listener| {
            listener.connection_ended(event);
            listener.carried(bytes);
        });
    }
}

impl fmt::Debug for MetricsObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsObserver")
            .field("recorder", &self.inner.source)
            .finish_non_exhaustive()
    }
}
