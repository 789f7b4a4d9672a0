//! Counters, gauges and histograms of a server, recorded through the [`metrics`] facade.
//!
//! # When to use it
//!
//! Use it in every server that is monitored. The metrics show how many connections there are, how
//! and why they end, and what keeps clients waiting. To find out what happened to a single
//! connection, use the feature `trace`.
//!
//! # Position in the stack
//!
//! The metrics have no position: [`MetricsObserver`] is an [`Observer`](reagent::Observer) and not
//! a layer, so it counts every connection, including those that a layer turns away.
//!
//! # Example
//!
//! ```
//! use metrics_exporter_prometheus::PrometheusBuilder;
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use reagent_layers::metrics::MetricsObserver;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! // Without buckets, the exporter turns histograms into summaries.
//! let recorder = PrometheusBuilder::new()
//!     .set_buckets(&[0.01, 0.1, 1.0, 10.0, 100.0, 1000.0])?
//!     .build_recorder();
//! // If nobody may fetch the page for long, call `prometheus.run_upkeep()` every few seconds.
//! let prometheus = recorder.handle();
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .observe(MetricsObserver::with_recorder(recorder))
//!     .start(reagent::handle(|_: Connection| async { std::io::Result::Ok(()) }))
//!     .await?;
//!
//! drop(clients.connect().await?);
//! while server.stats().completed == 0 {
//!     tokio::task::yield_now().await;
//! }
//! let page = prometheus.render();
//! let listener = server.local_addr();
//! assert!(page.contains(&format!(
//!     r#"reagent_connections_closed_total{{listener="{listener}",outcome="completed"}} 1"#
//! )));
//! assert!(page.contains(&format!(
//!     r#"reagent_connections_active{{listener="{listener}"}} 0"#
//! )));
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! ## Metrics
//!
//! Names and units follow the [Prometheus conventions][naming]. They already have the suffixes that
//! some exporters add, such as `_total` and `_seconds`.
//!
//! | name | kind | labels | meaning |
//! |---|---|---|---|
//! | `reagent_connections_accepted_total` | counter | `listener` | accepted connections |
//! | `reagent_connections_active` | gauge | `listener` | open connections |
//! | `reagent_connections_closed_total` | counter | `listener`, `outcome` | connections that have ended, by [`Outcome::as_str`](reagent::Outcome::as_str) |
//! | `reagent_connections_rejected_total` | counter | `listener`, `reason` | ended connections that a layer rejected |
//! | `reagent_connections_timed_out_total` | counter | `listener`, `kind` | ended connections that exceeded a time limit |
//! | `reagent_connections_failed_total` | counter | `listener`, `reason` | ended connections that failed with an error, by the label `error.type` if a layer set it, otherwise `other` |
//! | `reagent_dry_run_total` | counter | `listener`, `limit` | decisions of limits in a dry run to refuse, delay or end a connection, by layer and reason, such as `limit: client connections` |
//! | `reagent_connections_panicked_total` | counter | `listener` | ended connections whose handler panicked |
//! | `reagent_connection_received_bytes_total` | counter | `listener` | bytes read from sockets |
//! | `reagent_connection_sent_bytes_total` | counter | `listener` | bytes written to sockets |
//! | `reagent_connection_duration_seconds` | histogram | `listener` | time from the accept of a connection to its end |
//! | `reagent_upgrade_duration_seconds` | histogram | `listener`, `upgrade` | duration of each upgrade that succeeded, by [`Upgrade::name`](reagent::Upgrade::name): `tls handshake`, `proxy protocol`, … |
//! | `reagent_limit_reached_total` | counter | `listener` | number of times that an acceptor had a client to accept and had to wait because of `max_connections` |
//! | `reagent_permit_wait_seconds` | histogram | `listener` | duration of each of these waits; clients that did not wait are not included |
//! | `reagent_accept_errors_total` | counter | `listener`, `class` | errors while accepting, by [`ErrorClass::as_str`](reagent::ErrorClass::as_str) |
//! | `reagent_acceptors_active` | gauge | `listener` | acceptors that are accepting |
//! | `reagent_acceptor_restarts_total` | counter | `listener` | failures of an acceptor: its service failed, panicked or could not be made |
//! | `reagent_listeners_lost_total` | counter | `listener` | listening sockets that stopped accepting because of an error |
//! | `reagent_listeners_reopened_total` | counter | `listener` | lost listening sockets that were replaced |
//! | `reagent_exhausted` | gauge | | 1 while no client can be served for lack of descriptors or memory; with several servers, the number of servers in this state |
//! | `reagent_clients_turned_away_total` | counter | | clients closed for lack of descriptors, counted when that state ends |
//! | `reagent_tls_certificate_expiry_timestamp_seconds` | gauge | `name` | expiry of a certificate in seconds since 1970-01-01 UTC, set by [`set_certificate_expiry`](MetricsObserver::set_certificate_expiry) |
//! | `reagent_tls_certificate_reloads_total` | counter | `result` | attempts to reload certificates, `success` or `failure`, counted by [`certificates_reloaded`](MetricsObserver::certificates_reloaded) |
//! | `reagent_bans_total` | counter | `dry_run`, `offence` | bans of a score, counted by [`client_banned`](MetricsObserver::client_banned); `dry_run` is `true` for those that were not carried out |
//! | `reagent_pressure_ratio` | gauge | `source` | the pressure of each source, from 0 to 1, set by [`set_pressure`](MetricsObserver::set_pressure) |
//! | `reagent_pressure_closed_total` | counter | | idle connections that were asked to finish under pressure, set by [`set_pressure_actions`](MetricsObserver::set_pressure_actions) |
//! | `reagent_pressure_aborted_total` | counter | | those among them that did not finish and were aborted, set likewise |
//! | `reagent_pressure_refused_total` | counter | | clients that were refused under pressure, set likewise |
//! | `reagent_tarpit_held` | gauge | | clients that are held in a tarpit, set by [`set_tarpit`](MetricsObserver::set_tarpit) |
//! | `reagent_tarpit_overflowed_total` | counter | | clients that were closed because the tarpit was full, set by [`set_tarpit`](MetricsObserver::set_tarpit) |
//! | `reagent_tarpit_gave_way_total` | counter | | clients that were closed or released because others waited for a place, set by [`set_tarpit`](MetricsObserver::set_tarpit) |
//! | `reagent_top_clients` | gauge | `by`, `rank` | the counts of the first ten clients by `connections`, `bytes` or `refusals`, set by [`set_top_clients`](MetricsObserver::set_top_clients) |
//!
//! Durations and outcomes are recorded when a connection ends. So are its bytes, unless
//! [`MetricsObserver::refresh`] is called earlier.
//!
//! ## Labels
//!
//! `listener` is the address that the server listens on. The values of the other labels come from
//! code, never from clients. As a safeguard, each label still has at most 32 values per metric and
//! listener: any further value, and any value of more than 64 bytes, is counted as `other`.
//!
//! ## Cost
//!
//! A metric is looked up in the recorder once per listener and label value. This observer itself
//! allocates nothing per connection. A recorder may allocate for its histograms: the one of
//! `metrics-exporter-prometheus` does so about twice per hundred connections.
//!
//! # Errors
//!
//! The observer returns no errors and never ends a connection.
//!
//! [naming]: https://prometheus.io/docs/practices/naming/

mod certificates;
mod clients;
mod family;
mod listener;
mod names;
mod observer;
mod source;

pub use observer::MetricsObserver;
