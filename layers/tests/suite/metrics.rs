//! `MetricsObserver`: values, and the bounds of labels.

use crate::{
    endings::{WAYS, all_ended, as_told, end, tell},
    support::{outcome, until},
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use reagent::{
    BoxError, Connection, IoStream, Observer, Outcome, OutcomeKind, Rejected, Server, ServerHandle,
    Upgrade, UpgradeLayer, handle,
    testing::{Clients, FlakyListener, MemoryListener, Script},
};
use reagent_layers::metrics::MetricsObserver;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};
use tower::Service;

/// The page that Prometheus would fetch.
pub struct Page(PrometheusHandle);

impl Page {
    pub fn new() -> (Page, MetricsObserver) {
        let recorder = PrometheusBuilder::new().build_recorder();
        let page = Page(recorder.handle());
        (page, MetricsObserver::with_recorder(recorder))
    }

    /// Returns the value of a metric without labels, or with this label besides the listener.
    pub fn value<'a>(&self, name: &str, label: impl Into<Option<(&'a str, &'a str)>>) -> f64 {
        let label = label
            .into()
            .map(|(key, value)| format!(r#"{key}="{value}""#));
        let page = self.0.render();
        let mut values = page.lines().filter_map(|line| {
            let (metric, value) = line.rsplit_once(' ')?;
            let (is, labels) = metric.split_once('{').unwrap_or((metric, ""));
            let is_it = is == name && label.as_ref().is_none_or(|label| labels.contains(label));
            is_it.then(|| value.parse().unwrap())
        });
        match (values.next(), values.next()) {
            (Some(value), None) => value,
            values => panic!("{name}: {values:?} in\n{page}"),
        }
    }
}

/// An upgrade that completes at once.
struct Pass;

impl<Io: IoStream> Upgrade<Io> for Pass {
    type Io = Io;

    async fn upgrade(&self, conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
        Ok(conn)
    }
}

pub async fn start(observer: impl Observer) -> (ServerHandle, Clients, Script) {
    let (listener, clients) = MemoryListener::new();
    let (listener, script) = FlakyListener::new(listener);
    let server = Server::new(listener)
        .observe(observer)
        .max_connections(1)
        .layer(UpgradeLayer::new(Pass))
        .start(handle(as_told));
    (server.await.unwrap(), clients, script)
}

#[tokio::test]
async fn connections_are_counted_by_how_they_end_and_why() {
    let (page, observer) = Page::new();
    let (server, clients, _) = start(observer).await;
    for (times, (way, _)) in (1..).zip(WAYS) {
        for _ in 0..times {
            end(&clients, way).await;
        }
    }
    all_ended(&server).await;

    assert_eq!(page.value("reagent_connections_accepted_total", None), 28.0);
    assert_eq!(page.value("reagent_connections_active", None), 0.0);
    for (times, (_, outcome)) in (1..).zip(WAYS) {
        let closed = page.value("reagent_connections_closed_total", ("outcome", outcome));
        assert_eq!(closed, f64::from(times), "{outcome}");
    }
    for (name, label, count) in [
        ("rejected", Some(("reason", "as told")), 3.0),
        ("timed_out", Some(("kind", "as told")), 4.0),
        ("panicked", None, 7.0),
    ] {
        let name = format!("reagent_connections_{name}_total");
        assert_eq!(page.value(&name, label), count, "{name}");
    }
    for name in ["received", "sent"] {
        let name = format!("reagent_connection_{name}_bytes_total");
        assert_eq!(page.value(&name, None), 28.0, "{name}");
    }
    let durations = page.value("reagent_connection_duration_seconds_count", None);
    assert_eq!(durations, 28.0);
}

#[tokio::test(start_paused = true)]
async fn durations_and_waits_are_in_seconds() {
    let (page, observer) = Page::new();
    let (server, clients, _) = start(observer).await;
    let first = tell(&clients, b'w').await;
    assert_eq!(page.value("reagent_connections_active", None), 1.0);
    let second = clients.connect().await.unwrap();
    let reached = || page.value("reagent_limit_reached_total", None) == 1.0;
    until("the limit", reached).await;
    sleep(Duration::from_millis(2500)).await;
    let drain = async { server.connection(1).unwrap().drain() };
    let (first_outcome, ()) = tokio::join!(outcome(&server, 1), drain);
    assert!(matches!(first_outcome, Outcome::Drained));
    until("the second", || server.connection(2).is_some()).await;
    drop((first, second));
    all_ended(&server).await;

    let sum = |name: &str| page.value(&format!("reagent_{name}_seconds_sum"), None);
    assert_eq!(sum("connection_duration"), 2.5);
    assert_eq!(sum("permit_wait"), 2.5);
    assert_eq!(page.value("reagent_permit_wait_seconds_count", None), 1.0);
}

#[tokio::test(start_paused = true)]
async fn events_of_the_server_are_counted() {
    let (page, observer) = Page::new();
    let (server, clients, script) = start(observer).await;
    assert_eq!(page.value("reagent_acceptors_active", None), 1.0);
    assert_eq!(page.value("reagent_exhausted", None), 0.0);

    let emfile = || io::Error::from_raw_os_error(libc::EMFILE);
    script.fail_accepts([io::ErrorKind::ConnectionAborted.into(), emfile(), emfile()]);
    let mut turned_away = clients.connect().await.unwrap();
    until("exhaustion", || {
        page.value("reagent_exhausted", None) == 1.0
    })
    .await;
    // The clock advances only when everything is idle.
    assert_eq!(turned_away.read(&mut [0]).await.unwrap(), 0);
    end(&clients, b'c').await;
    assert_eq!(page.value("reagent_exhausted", None), 0.0);
    assert_eq!(page.value("reagent_clients_turned_away_total", None), 1.0);

    script.fail_accepts([io::ErrorKind::InvalidInput.into()]);
    let reopened = || page.value("reagent_listeners_reopened_total", None) == 1.0;
    until("a new listener", reopened).await;
    assert_eq!(page.value("reagent_listeners_lost_total", None), 1.0);
    for (class, count) in [("connection", 1.0), ("exhaustion", 2.0), ("fatal", 1.0)] {
        let errors = page.value("reagent_accept_errors_total", ("class", class));
        assert_eq!(errors, count, "{class}");
    }
    server.drain(Duration::ZERO).await;
    assert_eq!(page.value("reagent_acceptors_active", None), 0.0);
}

/// Fails the first time its readiness is polled.
#[derive(Clone)]
struct Faulty<S> {
    inner: S,
    was_asked: Arc<AtomicBool>,
}

impl<S> Service<Connection> for Faulty<S>
where
    S: Service<Connection, Error = BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if !self.was_asked.swap(true, SeqCst) {
            return Poll::Ready(Err("out of order".into()));
        }
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, conn: Connection) -> S::Future {
        self.inner.call(conn)
    }
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_that_fails_is_counted() {
    let (page, observer) = Page::new();
    let (listener, clients) = MemoryListener::new();
    let faulty = Faulty {
        inner: handle(as_told),
        was_asked: Arc::default(),
    };
    let server = Server::new(listener).observe(observer);
    let server = server.start(faulty).await.unwrap();
    drop(clients.connect().await.unwrap());
    // The clock, which drives the backoff, advances only when everything is idle.
    while server.stats().accepted == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let restarts = || page.value("reagent_acceptor_restarts_total", None) == 1.0;
    until("a new service", restarts).await;
    until("the end", || {
        page.value("reagent_connections_active", None) == 0.0
    })
    .await;
    drop(server);
}

#[tokio::test]
async fn a_label_has_a_limited_number_of_values() {
    let (page, observer) = Page::new();
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .observe(observer)
        .start(handle(|conn: Connection| async move {
            // A bad practice: a different reason for each connection.
            let reason = match conn.id() {
                1 => "x".repeat(65),
                id => format!("reason {id}"),
            };
            Err::<(), _>(Rejected::new(reason))
        }))
        .await
        .unwrap();
    for _ in 0..100 {
        drop(clients.connect().await.unwrap());
    }
    until("the ends", || server.stats().rejected == 100).await;
    let page_text = page.0.render();
    let rejected = "reagent_connections_rejected_total{";
    let series = page_text.lines().filter(|line| line.starts_with(rejected));
    assert_eq!(series.count(), 33);
    let others = page.value("reagent_connections_rejected_total", ("reason", "other"));
    assert_eq!(others, 68.0);
    let known = page.value(
        "reagent_connections_rejected_total",
        ("reason", "reason 33"),
    );
    assert_eq!(known, 1.0);
}

#[tokio::test(start_paused = true)]
async fn upgrades_are_measured_by_their_names_when_they_are_done() {
    /// Takes the number of tenths of a second sent by the client. 0 is a rejection.
    struct Tenths(&'static str);

    impl<Io: IoStream> Upgrade<Io> for Tenths {
        type Io = Io;

        async fn upgrade(&self, mut conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
            match conn.read_u8().await? {
                0 => Err(Rejected::new("zero").into()),
                tenths => {
                    sleep(Duration::from_millis(100) * tenths.into()).await;
                    Ok(conn)
                }
            }
        }

        fn name(&self) -> &'static str {
            self.0
        }
    }

    let (page, observer) = Page::new();
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .observe(observer)
        .layer(UpgradeLayer::new(Tenths("outer")))
        .layer(UpgradeLayer::new(Tenths("inner")))
        .start(handle(|_: Connection| async { io::Result::Ok(()) }))
        .await
        .unwrap();
    for bytes in [[3, 5], [4, 0], [0, 0]] {
        let mut client = clients.connect().await.unwrap();
        client.write_all(&bytes).await.unwrap();
        client.read_to_end(&mut Vec::new()).await.unwrap();
    }
    all_ended(&server).await;

    let value = |what: &str, upgrade| {
        let name = format!("reagent_upgrade_duration_seconds_{what}");
        page.value(&name, ("upgrade", upgrade))
    };
    assert_eq!(
        (value("count", "outer"), value("count", "inner")),
        (2.0, 1.0)
    );
    // Tokio's clock has a resolution of one millisecond.
    assert!((value("sum", "outer") - 0.7).abs() < 0.01);
    assert!((value("sum", "inner") - 0.5).abs() < 0.01);
}

#[tokio::test]
async fn every_outcome_is_there_from_the_beginning_and_clients_that_leave_are_no_failures() {
    let (page, observer) = Page::new();
    let (server, clients, _) = start(observer).await;
    let closed = |kind: OutcomeKind| {
        page.value(
            "reagent_connections_closed_total",
            ("outcome", kind.as_str()),
        )
    };
    assert_eq!(OutcomeKind::ALL.map(closed), [0.0; 8]);
    drop(clients.connect().await.unwrap());
    until("it has ended", || server.stats().disconnected == 1).await;
    assert_eq!(closed(OutcomeKind::Disconnected), 1.0);
    assert_eq!(closed(OutcomeKind::Failed), 0.0);
}
