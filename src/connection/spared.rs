//! Connections that a limit spared because it was in a dry run.

use super::{ConnectionHandle, event};

/// The key of the label that lists the limits that would have acted on a connection.
const LABEL: &str = "dry_run";

impl ConnectionHandle {
    /// Reports that a limit in a dry run would have refused, delayed or ended the connection.
    ///
    /// For layers with a dry run. `layer` is the name of the layer, and `reason` is the reason or
    /// kind that the outcome would have had. Report each decision once, and then treat the
    /// connection as if it were no longer there: it takes no place under the limit, and the same
    /// limit does not decide about it again.
    ///
    /// Observers receive it as [`connection_spared`](crate::Observer::connection_spared). The label
    /// `dry_run` of the connection lists `layer: reason` of every limit that would have acted,
    /// separated by commas.
    ///
    /// # Example
    ///
    /// ```
    /// use reagent::{Connection, Server, event::Event, observer_fn, testing::MemoryListener};
    /// use std::sync::mpsc;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// let (reports, spared) = mpsc::channel();
    /// let (listener, clients) = MemoryListener::new();
    /// let server = Server::new(listener)
    ///     .observe(observer_fn(move |event| {
    ///         if let Event::ConnectionSpared(event) = event {
    ///             let _ = reports.send((event.layer, event.reason.to_owned()));
    ///         }
    ///     }))
    ///     .start(reagent::handle(|conn: Connection| async move {
    ///         conn.handle().report_spared("quota", "requests");
    ///         Ok::<_, std::io::Error>(())
    ///     }))
    ///     .await?;
    ///
    /// drop(clients.connect().await?);
    /// while server.stats().completed == 0 {
    ///     tokio::task::yield_now().await;
    /// }
    /// assert_eq!(spared.try_recv()?, ("quota", "requests".to_owned()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn report_spared(&self, layer: &'static str, reason: &str) {
        let event = event::ConnectionSpared {
            connection: self,
            layer,
            reason,
        };
        let registry = self.entry.registry();
        registry.observe(|observer| observer.connection_spared(&event));
        let limit = format!("{layer}: {reason}");
        let mut cold = self.entry.cold();
        let labels = &mut cold.rare().labels;
        match labels.iter_mut().find(|(known, _)| *known == LABEL) {
            Some((_, limits)) if limits.split(", ").any(|known| known == limit) => {}
            Some((_, limits)) => {
                limits.push_str(", ");
                limits.push_str(&limit);
            }
            None => labels.push((LABEL, limit)),
        }
    }
}
