//! Admits and refuses clients by their addresses.
//!
//! # When
//!
//! When a server is for some networks only, or is to be rid of some; and when a handler finds out that a
//! client is up to no good and wants to see no more of it for a while.
//!
//! # Where in the stack
//!
//! Outside of everything that costs something, TLS above all. Behind a proxy, inside the PROXY protocol:
//! it goes by the effective [`peer_addr`](reagent::Connection::peer_addr).
//!
//! # Example
//!
//! ```
//! use reagent::{Connection, Outcome, Server, testing::MemoryListener};
//! use reagent_layers::access::{Access, AccessLayer, Rules};
//! use std::{net::SocketAddr, time::Duration};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), reagent::BoxError> {
//! // The most specific rule decides; where there is something to allow, all else is denied.
//! let access = Access::new(Rules::new().allow_all(["10.0.0.0/8"])?.deny_all(["10.66.0.0/16"])?);
//! let (listener, clients) = MemoryListener::new();
//! let server = Server::new(listener)
//!     .layer(AccessLayer::new(access.clone()))
//!     .start(reagent::handle(|conn: Connection| async move {
//!         conn.draining().await;
//!         Ok::<_, std::io::Error>(())
//!     }))
//!     .await?;
//!
//! let _friend = clients.connect_from("10.1.2.3:4000".parse::<SocketAddr>()?).await?;
//! let _foe = clients.connect_from("10.66.2.3:4000".parse::<SocketAddr>()?).await?;
//! while server.stats().accepted < 2 || server.connection_count() > 1 {
//!     tokio::task::yield_now().await;
//! }
//! assert_eq!(server.stats().rejected, 1);
//!
//! // Both can change at any time.
//! access.set(Rules::new());
//! access.bans().ban("10.1.2.3".parse()?, Duration::from_secs(600));
//! assert!(access.check("10.1.2.3".parse()?).is_err());
//! assert!(access.check("10.66.2.3".parse()?).is_ok());
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! [`Rejected`] for `access` or `banned`.

mod bans;
mod rules;

pub use bans::Bans;
pub use rules::Rules;

use crate::refusal::Refusal;
use arc_swap::ArcSwap;
use reagent::{BoxError, Connection, IoStream, Rejected, Upgrade, UpgradeLayer};
use std::{fmt, net::IpAddr, sync::Arc};

/// The layer of an [`Access`]: `AccessLayer::new(access)`.
pub type AccessLayer = UpgradeLayer<Access>;

/// Rules and bans that can be changed while they are in force; clones share them.
#[derive(Clone)]
pub struct Access {
    rules: Arc<ArcSwap<Rules>>,
    bans: Bans,
    refusal: Refusal,
}

impl Access {
    /// Admits by these rules, and bans nobody yet. Who is refused is closed.
    pub fn new(rules: Rules) -> Self {
        Access {
            rules: Arc::new(ArcSwap::from_pointee(rules)),
            bans: Bans::default(),
            refusal: Refusal::default(),
        }
    }

    /// Does this to those who are refused.
    pub fn refusal(mut self, refusal: Refusal) -> Self {
        self.refusal = refusal;
        self
    }

    /// Goes by these bans, which may be shared with others.
    pub fn with_bans(mut self, bans: Bans) -> Self {
        self.bans = bans;
        self
    }

    /// Admits by other rules from now on. Connections that are open stay.
    pub fn set(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    /// Who is banned, to be added to.
    pub fn bans(&self) -> &Bans {
        &self.bans
    }

    /// Whether a client of this address would be admitted, as far as its address goes.
    pub fn check(&self, ip: IpAddr) -> Result<(), Rejected> {
        if self.bans.is_banned(ip) {
            return Err(Rejected::new("banned"));
        }
        match self.rules.load().admits(ip) {
            true => Ok(()),
            false => Err(Rejected::new("access")),
        }
    }
}

impl Access {
    fn check_connection<Io>(&self, conn: &Connection<Io>) -> Result<(), Rejected> {
        // Who has no IP address is on this machine, and came by the rights of a file.
        if let Some(ip) = conn.peer_addr().ip() {
            self.check(ip)?;
        }
        match self.rules.load().checks(&conn.handle()) {
            true => Ok(()),
            false => Err(Rejected::new("access")),
        }
    }
}

impl<Io: IoStream> Upgrade<Io> for Access {
    type Io = Io;

    async fn upgrade(&self, conn: Connection<Io>) -> Result<Connection<Io>, BoxError> {
        let Err(rejected) = self.check_connection(&conn) else {
            return Ok(conn);
        };
        let reason = rejected.reason().to_owned();
        Err(self.refusal.refuse(conn, reason).await)
    }

    fn name(&self) -> &'static str {
        "access"
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("rules", &self.rules.load())
            .field("bans", &self.bans)
            .field("refusal", &self.refusal)
            .finish()
    }
}
