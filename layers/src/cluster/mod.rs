//! Limits connections over all instances of a server: places and rates, in a store that the
//! instances share.
//!
//! | limit | what it limits |
//! |---|---|
//! | [`ClusterPerClient`] | the open connections of each client |
//! | [`ClusterRate::per_client`] | the connections per second of each client |
//! | [`ClusterRate::in_all`] | the connections per second of all clients together |
//!
//! # When to use it
//!
//! Use it if several instances serve the same clients and a limit for each instance is not enough:
//! with a limit of 5 and 3 instances, a client may have 15 connections. If the balancer always
//! sends a client to the same instance, the module `limit` does the same without a store.
//!
//! # Position in the stack
//!
//! Outside of TLS and inside of `proxy_protocol`, like `limit::PerClientLayer`. Keep a limit per
//! instance outside of it, which refuses a flood from a single client without asking the store.
//!
//! # Example
//!
//! Two servers, as they would run in two processes with `RedisStore`, which needs the feature
//! `cluster_redis`:
//!
//! ```
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use reagent_layers::cluster::{Cluster, ClusterLayer, ClusterPerClient, MemoryStore};
//! use std::{net::SocketAddr, time::Duration};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! async fn greet(mut conn: Connection) -> std::io::Result<()> {
//!     conn.write_all(b"hello").await?;
//!     conn.read_u8().await.map(drop)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let store = MemoryStore::new();
//! let mut servers = Vec::new();
//! for _ in 0..2 {
//!     let (cluster, driver) = Cluster::builder("gateway")
//!         .lease(Duration::from_secs(10))
//!         .build(store.clone());
//!     tokio::spawn(driver);
//!     let limit = ClusterPerClient::new(&cluster, "per-client", 1);
//!     let (listener, clients) = MemoryListener::new();
//!     let server = Server::new(listener)
//!         // Gives places back when the server drains.
//!         .observe(cluster.clone())
//!         .layer(ClusterLayer::new(limit))
//!         .start(reagent::handle(greet))
//!         .await?;
//!     servers.push((server, clients));
//! }
//!
//! let addr: SocketAddr = "192.0.2.1:4000".parse()?;
//! let mut greeting = [0; 5];
//! let mut first = servers[0].1.connect_from(addr).await?;
//! first.read_exact(&mut greeting).await?;
//! // The client's only place is taken at the other server.
//! let mut second = servers[1].1.connect_from(addr).await?;
//! assert_eq!(second.read(&mut greeting).await?, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! ## Leases
//!
//! The store does not count connections. It holds, for each client, how many places each instance
//! has, and until when. The [`Driver`] of an instance renews what is in use after each third of the
//! lease, and gives back the rest. If an instance crashes, its places are free again after one
//! lease. An instance that drains gives back its idle places at once, and each other one when its
//! connection ends; so does the predecessor in a hand-over, while the successor is a new instance.
//!
//! A connection that needs the store waits for it in its own future, for at most 20 ms, and delays
//! no other. [`Mode::Exact`] needs it for each connection. [`Mode::Quota`] takes some places ahead:
//! half a [`share`] with the first, and it keeps as many as were in use since the last renewal, up
//! to a share. A client that comes to an instance at least once in each third of the lease asks the
//! store for its first connection only, unless it has more than a share of them at a time.
//!
//! A client that the store has refused is refused without asking again for 20 ms.
//!
//! ## What holds
//!
//! Here *n* is the number of instances, *L* the lease, *R* = *L* / 3, and *share* =
//! max(1, ⌊*max* / *n*⌋).
//!
//! | situation | connections above `max` | places below `max` |
//! |---|---|---|
//! | the store answers, exact mode | none | those on their way: a round trip |
//! | the store answers, quota mode | none | idle ones at other instances: all for up to *R*, a share each for up to 2 *R* |
//! | an instance crashes | none | what it held, for up to *L* |
//! | the store does not answer, [`Lost::Closed`] | none | all that was not granted before, until the store answers |
//! | the store does not answer, [`Lost::Share`] | (*n* − 1) × *share* | *max* − *n* × *share* |
//! | the store does not answer, [`Lost::Open`] | no bound | none |
//! | instances get no answer for longer than *L* / 2 − 1 s | what they hold then, until these connections end, and their shares | none |
//! | the store has lost single keys, as by eviction (use `noeviction`) | what was held under them, until these connections end | none |
//! | the store has lost its data | (*n* − 1) × *share*, until these connections end | all but a share for each instance, for *L* |
//! | an answer of the store is lost | none | what was granted, until the next renewal, at most *L* |
//!
//! The store *answers* if it does so before a connection has waited for as long as it
//! [may](ClusterBuilder::wait). Otherwise that connection is decided by [`Lost`], even if the
//! circuit stays closed. Bounds of rows that apply at the same time add up. *n* is the number of instances that the store
//! last reported, or [`expected_instances`](ClusterBuilder::expected_instances) if that is higher.
//! Set it to the number that you run: otherwise an instance that is left alone with the store for a
//! lease, and then loses it too, considers the whole limit its share.
//!
//! For a rate *r* with a burst *b*:
//!
//! | situation | connections above the rate | below the rate |
//! |---|---|---|
//! | the store answers, exact mode | none | none |
//! | the store answers, quota mode | min(*r* × *R*, *b* / 2) in any interval | as many in each *R* |
//! | the store does not answer, [`Lost::Share`] | max(*b*, *n*) each time it is lost, if clients change the instance; none if they use all evenly | the same if they do not use all evenly; 2 *b* each time it answers again |
//! | the store has lost its data | *b* once | none |
//!
//! A store that has lost its data *learns* for a lease: instances announce what they hold as soon
//! as it answers, and it grants no more than shares. It notices its loss by the first instance that
//! it does not know and that knows it. So an instance that starts before any other has come back,
//! which takes them up to 2 seconds, may be granted up to `max` places that others hold. A fleet
//! that is new has nothing to learn.
//!
//! Leases assume that the clocks of the store and the instances run at the same speed. What time it
//! is on each does not matter.
//!
//! ## Costs
//!
//! A connection that does not ask the store costs a lock and a lookup in a table, less than with
//! `limit::PerClientLayer`. The renewals of an instance with *c* clients cost *c* / *R* claims per
//! second, in *c* / (128 *R*) round trips, or 1 / *R* if that is more. A claim takes about 80 bytes
//! to the store, 4 bytes back, and 5 µs of the time of Redis. So an instance with 1,000 clients and
//! a lease of 10 seconds sends 24 KB per second, and takes 0.16 % of a core of the store.
//!
//! # Errors
//!
//! A refused connection ends with [`Rejected`](reagent::Rejected) and the reason
//! [`CLUSTER_CONNECTIONS`], [`CLUSTER_CLIENT_RATE`] or [`CLUSTER_RATE`], or, if the store could not
//! be asked, [`CLUSTER_STORE`]. Connections that were decided without the store have the label
//! [`LOST_LABEL`], and [`Cluster::stats`] counts them. An error of the store fails no connection;
//! it is in [`Cluster::last_error`].

mod admission;
mod driver;
mod flight;
mod future;
mod handle;
mod layer;
mod ledger;
mod memory_store;
mod places;
mod rate;
#[cfg(feature = "cluster_redis")]
mod redis;
mod service;
mod settings;
mod shared;
mod stats;
mod store;
mod trial;

pub use driver::Driver;
pub use future::ClusterFuture;
pub use handle::{Cluster, ClusterBuilder};
pub use layer::ClusterLayer;
pub use memory_store::MemoryStore;
pub use places::{CLUSTER_CONNECTIONS, ClusterPerClient};
pub use rate::{CLUSTER_CLIENT_RATE, CLUSTER_RATE, ClusterRate};
#[cfg(feature = "cluster_redis")]
pub use redis::{InvalidUrl, RedisStore};
pub use service::ClusterService;
pub use settings::{Lost, Mode, UnknownName};
pub use stats::ClusterStats;
pub use store::{Answer, Batch, Claim, Store, StoreFuture, share};

/// The reason of a [`Rejected`](reagent::Rejected) connection that was refused because the store
/// could not be asked.
pub const CLUSTER_STORE: &str = "cluster store";

/// The label of connections that were decided without the store. Its value is the policy: `open`,
/// `closed` or `share`.
pub const LOST_LABEL: &str = "cluster.lost";
