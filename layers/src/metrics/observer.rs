//! The observer that records metrics.

use super::{listener::Listener, names, source::Source};
use crate::open_bytes::OpenBytes;
use ::metrics::{Counter, Gauge, Recorder};
use reagent::{Acceptor, Addr, ConnectionHandle, Observer, ServerHandle, event};
use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// An [`Observer`] that records the [metrics](super) of a server.
///
/// Its clones can observe several servers. The label `listener` tells their metrics apart.
#[derive(Clone)]
pub struct MetricsObserver {
    inner: Arc<Inner>,
    /// The labels of listeners that are not measured.
    ignored: Vec<Arc<str>>,
}

struct Inner {
    source: Source,
    exhausted: Gauge,
    turned_away: Counter,
    bytes: OpenBytes,
    /// There are as many as the server has addresses, too few for a hash map.
    listeners: RwLock<Vec<(Addr, Listener)>>,
}

impl MetricsObserver {
    /// Creates an observer that records into the global recorder.
    ///
    /// Install the global recorder first. Metrics that are created without one are lost, even if a
    /// recorder is installed later.
    ///
    /// A server runs on many threads, so a recorder that is local to one thread, as set by
    /// [`with_local_recorder`](::metrics::with_local_recorder), does not see its events. Pass such
    /// a recorder to [`with_recorder`](Self::with_recorder).
    pub fn new() -> Self {
        Self::of(Source(None))
    }

    /// Creates an observer that records into `recorder` and ignores the global recorder.
    pub fn with_recorder(recorder: impl Recorder + Send + Sync + 'static) -> Self {
        Self::of(Source(Some(Arc::new(recorder))))
    }

    fn of(source: Source) -> Self {
        source.with(names::describe);
        MetricsObserver {
            inner: Arc::new(Inner {
                exhausted: source.gauge(&names::EXHAUSTED, Vec::new()),
                turned_away: source.counter(&names::TURNED_AWAY, Vec::new()),
                bytes: OpenBytes::default(),
                listeners: RwLock::default(),
                source,
            }),
            ignored: Vec::new(),
        }
    }

    /// Ignores listeners with this [label](reagent::Bind::label), such as the one that serves the
    /// metrics. By default all listeners are measured.
    ///
    /// It applies to this observer and to clones that are made afterwards.
    ///
    /// # Example
    ///
    /// ```
    /// use metrics_exporter_prometheus::PrometheusBuilder;
    /// use reagent::{Bind, Connection, Server, handle};
    /// use reagent_layers::metrics::MetricsObserver;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// let recorder = PrometheusBuilder::new().build_recorder();
    /// let prometheus = recorder.handle();
    /// let metrics = MetricsObserver::with_recorder(recorder).ignore_listener("metrics");
    /// let page = Bind::new("127.0.0.1:0").label("metrics");
    /// let server = Server::bind([Bind::new("127.0.0.1:0"), page])
    ///     .observe(metrics)
    ///     .start(handle(async |_: Connection| Ok::<_, std::io::Error>(())))
    ///     .await?;
    /// assert_eq!(server.local_addrs().count(), 2);
    /// assert_eq!(prometheus.render().matches("reagent_connections_active{").count(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn ignore_listener(mut self, label: impl Into<Arc<str>>) -> Self {
        self.ignored.push(label.into());
        self
    }

    /// Counts the bytes that the open connections of `server` have carried so far.
    ///
    /// Without it, the bytes of a connection are counted at its end. Call it before each scrape to
    /// see the throughput of long connections.
    ///
    /// Each call visits every open connection. From the first call on, each open connection takes
    /// about 50 bytes of memory.
    ///
    /// # Example
    ///
    /// ```
    /// use metrics_exporter_prometheus::PrometheusBuilder;
    /// use reagent::{Connection, Server, testing::MemoryListener};
    /// use reagent_layers::metrics::MetricsObserver;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// let recorder = PrometheusBuilder::new().build_recorder();
    /// let prometheus = recorder.handle();
    /// let (listener, clients) = MemoryListener::new();
    /// let metrics = MetricsObserver::with_recorder(recorder);
    /// let server = Server::new(listener)
    ///     .observe(metrics.clone())
    ///     .start(reagent::handle(|mut conn: Connection| async move {
    ///         let byte = conn.read_u8().await?;
    ///         conn.write_u8(byte).await?;
    ///         std::future::pending::<std::io::Result<()>>().await
    ///     }))
    ///     .await?;
    /// let mut client = clients.connect().await?;
    /// client.write_u8(7).await?;
    /// client.read_u8().await?;
    ///
    /// // The connection is still open.
    /// metrics.refresh(&server);
    /// let received = format!(
    ///     r#"reagent_connection_received_bytes_total{{listener="{}"}} 1"#,
    ///     server.local_addr(),
    /// );
    /// assert!(prometheus.render().contains(&received));
    /// # Ok(())
    /// # }
    /// ```
    pub fn refresh(&self, server: &ServerHandle) {
        self.inner.bytes.count_open(server, |connection, growth| {
            self.of_connection(connection, |listener| listener.carried(growth.bytes));
        });
    }

    /// Returns the source of the metrics that do not belong to a listener.
    pub(super) fn source(&self) -> &Source {
        &self.inner.source
    }

    fn of_acceptor(&self, acceptor: &Acceptor, measure: impl Fn(&Listener)) {
        if !self.ignores(acceptor.label.as_deref()) {
            self.at(&acceptor.local_addr, measure);
        }
    }

    fn of_connection(&self, connection: &ConnectionHandle, measure: impl Fn(&Listener)) {
        if !self.ignores(connection.listener_label()) {
            self.at(connection.listener_addr(), measure);
        }
    }

    fn ignores(&self, label: Option<&str>) -> bool {
        label.is_some_and(|label| self.ignored.iter().any(|ignored| **ignored == *label))
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
    fn listener_lost(&self, event: &event::ListenerLost<'_>) {
        self.at(event.addr, |listener| listener.lost.increment(1));
    }

    fn listener_reopened(&self, event: &event::Listening<'_>) {
        self.at(event.addr, |listener| listener.reopened.increment(1));
    }

    /// Also creates the metrics of the listener before its first client arrives.
    fn acceptor_started(&self, acceptor: &Acceptor) {
        self.of_acceptor(acceptor, |listener| {
            listener.acceptors.increment(1.0);
        });
    }

    fn acceptor_failed(&self, event: &event::AcceptorFailed<'_>) {
        self.of_acceptor(event.acceptor, |listener| {
            listener.restarts.increment(1);
        });
    }

    fn acceptor_stopped(&self, acceptor: &Acceptor) {
        self.of_acceptor(acceptor, |listener| {
            listener.acceptors.decrement(1.0);
        });
    }

    fn accept_failed(&self, event: &event::AcceptFailed<'_>) {
        self.of_acceptor(event.acceptor, |listener| {
            listener.accept_errors.increment(event.class.as_str());
        });
    }

    /// Increments instead of setting 1, so that the recovery of one server does not hide the state
    /// of another.
    fn exhausted(&self, _: &event::Exhausted<'_>) {
        self.inner.exhausted.increment(1.0);
    }

    fn exhaustion_ended(&self, event: &event::ExhaustionEnded) {
        self.inner.exhausted.decrement(1.0);
        self.inner.turned_away.increment(event.turned_away);
    }

    fn limit_reached(&self, acceptor: &Acceptor) {
        self.of_acceptor(acceptor, |listener| {
            listener.limit_reached.increment(1);
        });
    }

    fn limit_waited(&self, event: &event::LimitWaited<'_>) {
        self.of_acceptor(event.acceptor, |listener| {
            listener.permit_wait.record(event.waited);
        });
    }

    fn connection_started(&self, connection: &ConnectionHandle) {
        self.of_connection(connection, |listener| {
            listener.accepted.increment(1);
            listener.active.increment(1.0);
        });
    }

    fn connection_spared(&self, event: &event::ConnectionSpared<'_>) {
        self.of_connection(event.connection, |listener| {
            listener.connection_spared(event);
        });
    }

    fn connection_upgraded(&self, event: &event::ConnectionUpgraded<'_>) {
        self.of_connection(event.connection, |listener| {
            listener.connection_upgraded(event);
        });
    }

    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        let growth = self.inner.bytes.rest(event.connection);
        self.of_connection(event.connection, |listener| {
            listener.connection_ended(event);
            listener.carried(growth.bytes);
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
