//! Counts, gauges and histograms of a server, by the [`metrics`] facade.
//!
//! # When
//!
//! Whenever a server is watched: it says how many connections there are, how they end and why, and what keeps
//! clients waiting. What happened to one connection is for the feature `trace`.
//!
//! # Where in the stack
//!
//! Nowhere: it is an [`Observer`](reagent::Observer) and no layer, so it counts every connection, whatever layer turns it
//! away.
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
//! let recorder = PrometheusBuilder::new()
//!     .set_buckets(&[0.01, 0.1, 1.0, 10.0, 100.0, 1000.0])?
//!     .build_recorder();
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
//! # Errors
//!
//! None, and it ends no connection.
//!
//! # The metrics
//!
//! Names and units follow [Prometheus' conventions][naming]; exporters that add suffixes find them there already.
//!
//! | name | kind | labels | what it is |
//! |---|---|---|---|
//! | `reagent_connections_accepted_total` | counter | `listener` | connections accepted |
//! | `reagent_connections_active` | gauge | `listener` | connections open now |
//! | `reagent_connections_closed_total` | counter | `listener`, `outcome` | connections that are over; [`Outcome::as_str`](reagent::Outcome::as_str) |
//! | `reagent_connections_rejected_total` | counter | `listener`, `reason` | of these, those a layer did not admit |
//! | `reagent_connections_timed_out_total` | counter | `listener`, `kind` | of these, those a time limit ended |
//! | `reagent_connections_failed_total` | counter | `listener`, `reason` | of these, those that ended with an error; what a layer set as the label `error.type`, else `other` |
//! | `reagent_connections_panicked_total` | counter | `listener` | of these, those whose handler panicked |
//! | `reagent_connection_received_bytes_total` | counter | `listener` | bytes read from sockets |
//! | `reagent_connection_sent_bytes_total` | counter | `listener` | bytes written to sockets |
//! | `reagent_connection_duration_seconds` | histogram | `listener` | from the accept to the end |
//! | `reagent_upgrade_duration_seconds` | histogram | `listener`, `upgrade` | how long upgrades took that were done, by [`Upgrade::name`](reagent::Upgrade::name): `tls handshake`, `proxy protocol`, … |
//! | `reagent_limit_reached_total` | counter | `listener` | waits of an acceptor at `max_connections`, with a client |
//! | `reagent_permit_wait_seconds` | histogram | `listener` | how long these waits took; who had not to wait is not in it |
//! | `reagent_accept_errors_total` | counter | `listener`, `class` | errors of accepting; [`ErrorClass::as_str`](reagent::ErrorClass::as_str) |
//! | `reagent_acceptors_active` | gauge | `listener` | acceptors that accept |
//! | `reagent_acceptor_restarts_total` | counter | `listener` | acceptors whose service failed, panicked or could not be made |
//! | `reagent_listeners_lost_total` | counter | `listener` | listening sockets that accept no more |
//! | `reagent_listeners_reopened_total` | counter | `listener` | of these, those that were replaced |
//! | `reagent_exhausted` | gauge | | 1 while no client can be served for want of descriptors or memory |
//! | `reagent_tls_certificate_expiry_timestamp_seconds` | gauge | `name` | when a certificate expires, in seconds since 1970; set by [`set_certificate_expiry`](MetricsObserver::set_certificate_expiry) |
//! | `reagent_tls_certificate_reloads_total` | counter | `result` | attempts to load certificates again, `success` or `failure`; counted by [`certificates_reloaded`](MetricsObserver::certificates_reloaded) |
//! | `reagent_clients_turned_away_total` | counter | | clients closed for that reason, counted when it is over |
//!
//! Durations and outcomes are counted when a connection is over, and so are its bytes unless they are
//! [counted before](MetricsObserver::refresh).
//!
//! # Labels
//!
//! `listener` is the address as the server has it. All other values come from code and not from clients. Even so
//! each label has at most 32 values, and one of more than 64 bytes or past the 32nd is counted as `other`.
//!
//! # Cost
//!
//! A metric is looked up in the recorder once for each listener and value of a label. A connection makes this observer
//! allocate nothing. What the recorder does for a histogram is the recorder's: that of
//! `metrics-exporter-prometheus` allocates about twice in a hundred connections.
//!
//! [naming]: https://prometheus.io/docs/practices/naming/

mod bytes;
mod certificates;
mod family;
mod listener;
mod names;
mod observer;
mod source;

pub use observer::MetricsObserver;
