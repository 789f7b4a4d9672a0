//! The events of a server.

use super::{SPAN, TARGET, event as connection_event, facts::FIELDS, failures::Failures};
use reagent::{Acceptor, ConnectionHandle, DrainReport, Observer, Outcome, event};
use std::sync::Arc;
use tracing::{Level, Span, debug, error, info, warn};

/// An [`Observer`] that emits an event for everything that happens in a server.
#[derive(Clone, Debug)]
pub struct TraceObserver {
    start: Level,
    end: Level,
    failures: Option<Arc<Failures>>,
}

impl TraceObserver {
    /// Creates an observer that emits the start of a connection at `DEBUG` and its end at `INFO`.
    ///
    /// At `INFO`, a log then has one line per connection.
    pub fn new() -> Self {
        TraceObserver {
            start: Level::DEBUG,
            end: Level::INFO,
            failures: None,
        }
    }

    /// Sets the level of a connection's start event. The default is `DEBUG`.
    pub fn start_level(mut self, level: Level) -> Self {
        self.start = level;
        self
    }

    /// Sets the level of a connection's end event. The default is `INFO`. If the handler panicked,
    /// the level is always `ERROR`.
    pub fn end_level(mut self, level: Level) -> Self {
        self.end = level;
        self
    }

    /// Sets the level of the end event of connections that failed. By default, it is the same as
    /// that of other ends.
    ///
    /// A connection has failed if it was rejected, exceeded a time limit, was cut off by its
    /// client, or ended with an error, such as that of a handshake. Connections that were spared by a
    /// dry run have an event of the same level.
    ///
    /// Clients can cause such failures, so at most ten events per second are emitted at this level.
    /// Further ones have the level of other ends, and the next event at this level has their number
    /// in the field `failures_unseen`.
    ///
    /// # Example
    ///
    /// ```
    /// use reagent::{BoxError, Connection, Rejected, Server, testing::MemoryListener};
    /// use reagent_layers::trace::TraceObserver;
    /// use tracing::Level;
    ///
    /// # #[derive(Clone, Default)]
    /// # struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
    /// # impl std::io::Write for Lines {
    /// #     fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
    /// #         self.0.lock().unwrap().write(bytes)
    /// #     }
    /// #     fn flush(&mut self) -> std::io::Result<()> {
    /// #         Ok(())
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// # let lines = Lines::default();
    /// # let writer = lines.clone();
    /// # let _guard = tracing::subscriber::set_default(
    /// #     tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish(),
    /// # );
    /// # let (listener, clients) = MemoryListener::new();
    /// let server = Server::new(listener)
    ///     .observe(TraceObserver::new().failure_level(Level::WARN))
    ///     .start(reagent::handle(|_: Connection| async {
    ///         Err::<(), BoxError>(Rejected::new("closed on Sundays").into())
    ///     }))
    ///     .await?;
    /// # drop(clients.connect().await?);
    /// # while server.stats().rejected == 0 {
    /// #     tokio::task::yield_now().await;
    /// # }
    /// # let lines = String::from_utf8(lines.0.lock().unwrap().clone())?;
    /// # let end = lines.lines().find(|line| line.contains("connection ended")).unwrap();
    ///
    /// // WARN reagent_layers::trace: connection ended … error.type="closed on Sundays" …
    /// assert!(end.contains(" WARN "));
    /// assert!(end.contains(r#"error.type="closed on Sundays""#));
    /// # Ok(())
    /// # }
    /// ```
    pub fn failure_level(mut self, level: Level) -> Self {
        self.failures = Some(Arc::new(Failures::new(level)));
        self
    }

    /// Returns the level of the next event of a failure, and the number of failures that had none.
    fn failure(&self) -> (Level, u64) {
        let admitted = self.failures.as_ref().and_then(|it| it.admit());
        admitted.unwrap_or((self.end, 0))
    }
}

impl Default for TraceObserver {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for TraceObserver {
    fn listener_started(&self, event: &event::Listening<'_>) {
        info!(target: TARGET, listener = event.addr.to_string(), "listening");
    }

    fn listener_lost(&self, event: &event::ListenerLost<'_>) {
        error!(
            target: TARGET,
            listener = event.addr.to_string(),
            error.message = event.error.to_string(),
            "listening socket lost",
        );
    }

    fn listener_reopen_failed(&self, event: &event::ListenerReopenFailed<'_>) {
        match event.retry_in {
            Some(retry_in) => warn!(
                target: TARGET,
                listener = event.addr.to_string(),
                error.message = event.error.to_string(),
                retry_in = retry_in.as_secs_f64(),
                "listening socket cannot be reopened yet",
            ),
            None => error!(
                target: TARGET,
                listener = event.addr.to_string(),
                error.message = event.error.to_string(),
                "listening socket cannot be reopened",
            ),
        }
    }

    fn listener_reopened(&self, event: &event::Listening<'_>) {
        info!(target: TARGET, listener = event.addr.to_string(), "listening socket reopened");
    }

    fn listener_stopped(&self, event: &event::Listening<'_>) {
        info!(target: TARGET, listener = event.addr.to_string(), "no longer listening");
    }

    fn acceptor_started(&self, acceptor: &Acceptor) {
        debug!(
            target: TARGET,
            listener = acceptor.local_addr.to_string(),
            acceptor = acceptor.index,
            "acceptor started",
        );
    }

    fn acceptor_failed(&self, event: &event::AcceptorFailed<'_>) {
        error!(
            target: TARGET,
            listener = event.acceptor.local_addr.to_string(),
            acceptor = event.acceptor.index,
            error.message = event.error.to_string(),
            retry_in = event.retry_in.as_secs_f64(),
            "acceptor failed",
        );
    }

    fn acceptor_stopped(&self, acceptor: &Acceptor) {
        debug!(
            target: TARGET,
            listener = acceptor.local_addr.to_string(),
            acceptor = acceptor.index,
            "acceptor stopped",
        );
    }

    fn accept_failed(&self, event: &event::AcceptFailed<'_>) {
        debug!(
            target: TARGET,
            listener = event.acceptor.local_addr.to_string(),
            acceptor = event.acceptor.index,
            "error.type" = event.class.as_str(),
            "error.message" = event.error.to_string(),
            "accept failed",
        );
    }

    fn exhausted(&self, event: &event::Exhausted<'_>) {
        error!(
            target: TARGET,
            listener = event.acceptor.local_addr.to_string(),
            acceptor = event.acceptor.index,
            error.message = event.error.to_string(),
            "no client can be served for lack of descriptors or memory",
        );
    }

    fn exhaustion_ended(&self, event: &event::ExhaustionEnded) {
        warn!(
            target: TARGET,
            duration = event.lasted.as_secs_f64(),
            turned_away = event.turned_away,
            "clients can be served again",
        );
    }

    fn limit_reached(&self, acceptor: &Acceptor) {
        debug!(
            target: TARGET,
            listener = acceptor.local_addr.to_string(),
            acceptor = acceptor.index,
            "connection limit reached",
        );
    }

    fn limit_waited(&self, event: &event::LimitWaited<'_>) {
        debug!(
            target: TARGET,
            listener = event.acceptor.local_addr.to_string(),
            acceptor = event.acceptor.index,
            duration = event.waited.as_secs_f64(),
            "connection limit wait ended",
        );
    }

    fn connection_started(&self, connection: &ConnectionHandle) {
        connection_event::started(self.start, connection);
    }

    fn connection_labelled(&self, event: &event::ConnectionLabelled<'_>) {
        if !FIELDS.contains(&event.key) {
            return;
        }
        let span = Span::current();
        let is_ours = |span: &tracing::Metadata<'_>| span.name() == SPAN && span.target() == TARGET;
        if span.metadata().is_some_and(is_ours) {
            span.record(event.key, event.value);
        }
    }

    fn connection_spared(&self, event: &event::ConnectionSpared<'_>) {
        let (level, unseen) = self.failure();
        connection_event::spared(level, event, unseen);
    }

    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        let (level, unseen) = match event.outcome {
            Outcome::Panicked(_) => (Level::ERROR, 0),
            Outcome::Completed | Outcome::Drained | Outcome::Aborted => (self.end, 0),
            _ => self.failure(),
        };
        connection_event::ended(level, event, unseen);
    }

    fn handed_over(&self, event: &event::HandedOver) {
        info!(target: TARGET, process = event.process, "handed over");
    }

    fn handover_failed(&self, event: &event::HandoverFailed<'_>) {
        warn!(target: TARGET, reason = event.reason, "hand-over failed");
    }

    fn lame_duck_started(&self, event: &event::LameDuckStarted) {
        info!(
            target: TARGET,
            duration = event.lasts.as_secs_f64(),
            "lame duck stage started",
        );
    }

    fn drain_started(&self, event: &event::DrainStarted) {
        info!(target: TARGET, open = event.open, "drain started");
    }

    /// The survivors come first, so that the last line of a shutdown is its summary.
    fn drain_ended(&self, report: &DrainReport) {
        for survivor in &report.survivors {
            connection_event::survived(survivor);
        }
        info!(
            target: TARGET,
            finished = report.finished,
            aborted = report.aborted,
            remaining = report.remaining,
            notified = report.notified,
            duration = report.elapsed.as_secs_f64(),
            "drain ended",
        );
    }
}
