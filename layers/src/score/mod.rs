//! Bans clients that misbehave, by a score that drains with time.
//!
//! # When to use it
//!
//! Use it in a server that is open to the internet, next to limits by client. A limit refuses what
//! is too much; a score notices the clients that keep trying, or that send what no honest client
//! sends: garbage instead of a TLS handshake, half a request, streams that they reset at once. Start
//! with a [dry run](Score::dry_run) and look at whom it would ban.
//!
//! # Position in the stack
//!
//! The score has no position: [`Score`] is an [`Observer`](reagent::Observer). The
//! [`AccessLayer`](crate::access::AccessLayer) that enforces its bans belongs outside of everything
//! expensive, and behind a proxy inside of `proxy_protocol`.
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Server, testing::MemoryListener};
//! use reagent_layers::{
//!     access::{Access, AccessLayer, Bans, Rules},
//!     score::{Offence, Score},
//! };
//! use std::{net::SocketAddr, time::Duration};
//! use tokio::io::AsyncReadExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! let bans = Bans::new();
//! let login = Offence::Custom("login");
//! let score = Score::new(bans.clone())
//!     .exempt("10.0.0.0/8".parse::<reagent_layers::Network>()?)
//!     .weight(login, 15.0)
//!     .on_ban(|ban| println!("{} is banned for {:?}: {}", ban.client, ban.lasts, ban.offence));
//! let (listener, clients) = MemoryListener::new();
//! let reporting = score.clone();
//! let server = Server::new(listener)
//!     .observe(score)
//!     .layer(AccessLayer::new(Access::new(Rules::new()).with_bans(bans.clone())))
//!     .start(reagent::handle(move |conn: Connection| {
//!         // A wrong password, let us say.
//!         conn.peer_addr().ip().map(|ip| reporting.report(ip, login));
//!         async { std::io::Result::Ok(()) }
//!     }))
//!     .await?;
//!
//! let client: SocketAddr = "192.0.2.1:4000".parse()?;
//! for _ in 0..2 {
//!     assert!(!bans.is_banned(client.ip()));
//!     clients.connect_from(client).await?.read(&mut [0]).await?;
//! }
//! assert!(bans.is_banned(client.ip()));
//! # Ok(())
//! # }
//! ```
//!
//! # Details
//!
//! [`Offence::of`] lists what counts as an offence. To count something else, use
//! [`Score::classify`] for the ends of connections and [`Score::report`] for everything else.
//!
//! A connection that ends well costs nothing here but a look at its outcome: no lock, no lookup and
//! no allocation. An offence costs one lookup in a table behind a lock.
//!
//! The table is bounded. An offender is forgotten when its points have drained and its bans are
//! forgotten, and never to make room for another. While the table is full, the offences of other
//! clients are counted but not scored; [`ScoreStats::overflowed`] shows how many.
//!
//! Many users may share one IPv4 address. A ban is for all of them, so begin with short ones.
//!
//! Open connections of a banned client are closed only where bans
//! [apply](crate::access::Access::apply) to them. A connection is scored at its end, so a client in
//! a [`Tarpit`](crate::Tarpit) is scored when it is released.
//!
//! # Errors
//!
//! The score ends no connection. Connections of banned clients are
//! [`Rejected`](reagent::Rejected) by the access layer, with the reason
//! [`BANNED`](crate::access::BANNED).

mod observer;
mod offence;
mod settings;
mod tally;

pub use observer::{Banned, Score, ScoreStats};
pub use offence::Offence;
