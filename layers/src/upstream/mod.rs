//! Connects to one of several upstreams, by load or by client, and to the next one if that fails.
//!
//! # When to use it
//!
//! Use it in a proxy whose clients can be served by any of several servers: replicas of a database,
//! brokers, SSH hosts. It chooses one, connects to it with a connector of yours, tries others if it
//! cannot be reached, leaves out those that fail, and counts the connections that are open to each.
//! For a single upstream without checks, use the connector alone.
//!
//! # Position in the stack
//!
//! It is not a layer but a part of the handler, the innermost service: it connects once the layers
//! outside of it have admitted a client. The limits of upstreams and the queue in front of them are
//! no replacement for the limits of the server, which keep clients in the queue of the kernel.
//!
//! # Example
//!
//! A proxy for two servers, one of which is down:
//!
//! ```
//! use reagent::{BoxError, Connection, Server};
//! use reagent_layers::upstream::{Check, Key, Upstream, Upstreams};
//! use std::{net::SocketAddr, time::Duration};
//! use tokio::{
//!     io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
//!     net::TcpStream,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let greet = |mut conn: Connection| async move { conn.write_all(b"hello").await };
//! # let server = Server::bind("127.0.0.1:0").start(reagent::handle(greet)).await?;
//! # let up = server.local_addr().socket_addr().expect("a TCP address");
//! # let down: SocketAddr = "127.0.0.1:1".parse()?;
//! let upstreams = Upstreams::builder().attempt_timeout(Duration::from_secs(2)).build([
//!     Upstream::new("one", up).weight(2),
//!     Upstream::new("two", down),
//! ]);
//! let connector = tower::service_fn(TcpStream::connect::<SocketAddr>);
//! let checks = upstreams.check(Check::connect().interval(Duration::from_secs(5)), connector);
//! tokio::spawn(checks);
//!
//! let set = upstreams.clone();
//! let proxy = Server::bind("127.0.0.1:0")
//!     .start(reagent::handle(move |mut conn: Connection| {
//!         let upstreams = set.clone();
//!         async move {
//!             let key = Key::client(&conn);
//!             let mut connected = upstreams.connect(key, TcpStream::connect).await?;
//!             // `connected.guard` counts the connection until the end of the handler.
//!             copy_bidirectional(&mut conn, &mut connected.stream).await?;
//!             Ok::<_, BoxError>(())
//!         }
//!     }))
//!     .await?;
//!
//! for _ in 0..6 {
//!     let mut client = TcpStream::connect(proxy.local_addr().to_string()).await?;
//!     let mut answer = [0; 5];
//!     client.read_exact(&mut answer).await?;
//!     assert_eq!(&answer, b"hello");
//! }
//! assert_eq!(upstreams.stats()[0].total, 6);
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! ## Choice
//!
//! [`Balance::P2c`] draws two upstreams by their weights and takes the one with fewer open
//! connections for its weight. [`Balance::Hash`] gives a client the upstream with the highest score
//! of its key and the upstream's name (weighted rendezvous hashing). Compared with a ring or a
//! table as in Maglev, the shares are exact without virtual nodes, the clients of an upstream that
//! leaves are all that move, they spread over all others, and nothing has to be built when the set
//! changes. The price is that a choice looks at every upstream, as `P2c` does: fine for hundreds,
//! too slow for tens of thousands.
//!
//! Only the upstreams that are most likely to serve are chosen from, and among them those that have
//! room:
//!
//! 1. those that are up, or in a slow start;
//! 2. one that is on trial after an ejection, and whose trial is not over;
//! 3. all others that are not drained.
//!
//! So if all are down or ejected, all are used: a *panic mode*, since a check may be wrong, or the
//! network of this machine was. Envoy enters it when half of the hosts are unhealthy, to protect
//! the other half from all of the load. Here the others are used to the end, because clients that
//! fail at one upstream have to wait, and [`Upstream::max_connections`] with the
//! [queue](UpstreamsBuilder::queue) protects the rest.
//!
//! ## Failures
//!
//! A failure to connect is retried on other upstreams; what happens after that is not, because
//! bytes may have been exchanged. A connector may do more than connect, such as a handshake, so
//! that it is retried too.
//!
//! An upstream that fails several times in a row is *ejected* (see [`Ejection`]): the circuit to it
//! is open. When its time is over, it is *on trial*: it gets one connection at a time, until one
//! succeeds. Then it has a slow start. It is ejected again, for longer, if the trial fails. Two
//! kinds of failures are counted, each by itself: failures to connect, and connections that
//! [`UpstreamGuard::failed`] has reported. Clients that leave, and errors that are [`Blameless`],
//! count as neither.
//!
//! A [`Check`] takes an upstream *down* and up again. Two checks in a row that are passed end an
//! ejection early.
//!
//! ## Numbers
//!
//! | | here | Envoy | HAProxy | nginx `stream` |
//! |---|---|---|---|---|
//! | limit of an attempt | 3 s | 5 s | to be set | 60 s |
//! | other upstreams tried | 2 | none | the same one, 3 times | all |
//! | limit of all attempts | 9 s | – | – | none |
//! | failures in a row before an ejection | 3 | 5, if set up | 10 count as a failed check, if observed | 1 in 10 s |
//! | time of an ejection | 10 s × its number, to 300 s | 30 s × its number, to 300 s | until a check is passed | 10 s |
//! | largest share ejected | 50 %, at least one | 10 %, at least one | all | all |
//! | interval of checks | 2 s ± 25 % | to be set | 2 s | – |
//! | checks to be up, down | 2, 3 | to be set | 2, 3 | – |
//! | slow start | 10 s, from 10 % | none | none | – |
//! | connections | no limit | 1,024 for the cluster | no limit | no limit |
//! | clients that wait | 128 for the set | 1,024 for the cluster | no limit | none |
//!
//! These are the defaults of each: Envoy 1.30, HAProxy 2.6 and nginx without its commercial
//! additions. An attempt is shorter here because another follows it, and all of them end within
//! 10 s.
//!
//! ## Costs
//!
//! A connection takes the lock of the set three times: when its upstream is chosen, when it is
//! open, and when it ends. Nothing is allocated for a choice, and two counted references are for
//! the guard. Ejections, slow starts and trials need no task and no timer. Only checks do, in their
//! [`Driver`].
//!
//! ## Use with tower
//!
//! A connector is a [`tower::Service`](tower_service::Service) of targets, so layers such as
//! timeouts and concurrency limits fit around it, and [`Upstreams::service`] is one of [`Key`]s.
//! `tower::balance::p2c` and `tower::load` were not used for the choice, for four reasons:
//!
//! - A balancer is polled ready before it knows the request, so it can neither choose by client nor
//!   leave out the upstreams that a client has tried.
//! - It draws upstreams regardless of weights. A load divided by a weight does not repair that: as
//!   long as nothing is open, all loads are equal.
//! - A `Load` ends with the response. Here the response is the stream, and its load lasts as long
//!   as the connection.
//! - It has to be shared by a buffer, whose task and channel would be on the way of each
//!   connection, and it drops an upstream whose readiness fails.
//!
//! # Errors
//!
//! [`UpstreamError`] has all attempts with their errors. Its message names them, and whether there
//! was no room.

mod check;
mod connect;
mod description;
mod driver;
mod error;
mod follow;
mod guard;
mod handle;
mod health;
mod key;
mod member;
mod panic;
mod pick;
mod queue;
mod report;
mod service;
mod set;
mod settings;
mod shared;
mod stats;

pub use check::Check;
pub use connect::Connected;
pub use description::Upstream;
pub use driver::Driver;
pub use error::{Blameless, FailedAttempt, UpstreamError};
pub use guard::UpstreamGuard;
pub use handle::{Upstreams, UpstreamsBuilder};
pub use key::Key;
pub use service::{ConnectFuture, ConnectService};
pub use settings::{Balance, Ejection};
pub use stats::{StateChange, UpstreamState, UpstreamStats};
