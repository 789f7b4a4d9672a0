//! The layer of access control and its settings.

use super::{AccessService, Bans, Rules, existing::OpenClients};
use crate::{
    Apply, DryRun,
    client::ip_of_handle,
    open_connections::{OpenConnections, Registered},
    refusal::Refusal,
};
use arc_swap::ArcSwap;
use reagent::{ConnectionHandle, Rejected};
use std::{fmt, net::IpAddr, sync::Arc};
use tower_layer::Layer;

/// The reason of a [`Rejected`] connection whose client the rules do not admit.
pub const ACCESS: &str = "access";

/// The reason of a [`Rejected`] connection whose client is banned.
pub const BANNED: &str = "banned";

/// The reason of a [`Rejected`] connection of a TLS client whose JA4 fingerprint is
/// [denied](Rules::deny_ja4).
pub const JA4: &str = "ja4";

/// Rules and a ban list, which can be changed while a server runs. Clones share both.
///
/// A banned client is refused whatever the rules say.
#[derive(Clone)]
pub struct Access {
    rules: Arc<ArcSwap<Rules>>,
    bans: Bans,
    refusal: Refusal,
    dry_run: DryRun,
    apply: Apply,
    pub(super) open: Arc<OpenClients>,
}

impl Access {
    /// Creates access control by `rules`, with an empty ban list.
    ///
    /// Refused connections are closed; see [`refusal`](Self::refusal).
    pub fn new(rules: Rules) -> Self {
        Access {
            rules: Arc::new(ArcSwap::from_pointee(rules)),
            bans: Bans::default(),
            refusal: Refusal::default(),
            dry_run: DryRun::default(),
            apply: Apply::default(),
            open: OpenConnections::new(),
        }
    }

    /// Sets the treatment of refused clients. The default is [`Refusal::Close`], which tells them
    /// nothing.
    pub fn refusal(mut self, refusal: Refusal) -> Self {
        self.refusal = refusal;
        self
    }

    /// Sets whether the rules and bans are only tried. In a [`DryRun`], all clients are admitted,
    /// and those that would have been refused are reported.
    pub fn dry_run(mut self, dry_run: impl Into<DryRun>) -> Self {
        self.dry_run = dry_run.into();
        self
    }

    /// Uses `bans` as the ban list, for example one that several servers share.
    pub fn with_bans(mut self, bans: Bans) -> Self {
        self.bans = bans;
        self
    }

    /// Sets which connections changes of the rules and new bans apply to. The default is
    /// [`Apply::New`].
    ///
    /// With [`Apply::Existing`], open connections that are no longer admitted end with
    /// [`Rejected`] and the reason [`REVOKED`](super::REVOKED). They are closed, or reset if the
    /// [`refusal`](Self::refusal) is [`Refusal::Reset`]. [`Rules::check`] is called again for them.
    /// Each connection then takes a place in a table until it ends.
    ///
    /// Configure it before creating the [`AccessLayer`].
    pub fn apply(mut self, apply: Apply) -> Self {
        self.apply = apply;
        self
    }

    /// Replaces the rules for connections accepted from now on, and for open ones to which changes
    /// [apply](Self::apply). The call visits each of those.
    pub fn set(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
        self.recheck_all();
    }

    /// Returns the ban list. Add entries with [`Bans::ban`].
    pub fn bans(&self) -> &Bans {
        &self.bans
    }

    /// Checks whether a client with this address would be admitted.
    ///
    /// Neither fingerprints nor [`Rules::check`] are considered, since both need a connection. A dry
    /// run makes no difference.
    ///
    /// # Errors
    ///
    /// [`Rejected`] with the reason [`BANNED`] if the client is banned, or [`ACCESS`] if the rules
    /// do not admit the address.
    pub fn check(&self, ip: IpAddr) -> Result<(), Rejected> {
        match self.refuses(ip) {
            Some(reason) => Err(Rejected::new(reason)),
            None => Ok(()),
        }
    }

    fn refuses(&self, ip: IpAddr) -> Option<&'static str> {
        if self.bans.is_banned(ip) {
            return Some(BANNED);
        }
        (!self.rules.load().admits(ip)).then_some(ACCESS)
    }

    /// Returns the reason to refuse a connection, if there is one.
    pub(super) fn refuses_connection(&self, connection: &ConnectionHandle) -> Option<&'static str> {
        if let Some(reason) = ip_of_handle(connection).and_then(|ip| self.refuses(ip)) {
            return Some(reason);
        }
        let rules = self.rules.load();
        if rules.denies_ja4_of(connection) {
            return Some(JA4);
        }
        (!rules.checks(connection)).then_some(ACCESS)
    }

    /// Registers a connection if changes apply to it when it is open.
    pub(super) fn register(
        self: &Arc<Self>,
        connection: &ConnectionHandle,
    ) -> Option<Registered<Option<IpAddr>, Arc<Access>>> {
        if self.apply == Apply::New {
            return None;
        }
        let ip = ip_of_handle(connection).map(|ip| ip.to_canonical());
        let registered = self.open.register(ip, connection.clone(), self.clone());
        Some(registered)
    }

    /// Returns whether a dry run spares a connection that would be refused.
    pub(super) fn spares(&self, connection: &ConnectionHandle, reason: &str) -> bool {
        self.dry_run.spares(connection, "access", reason)
    }

    pub(super) fn how(&self) -> &Refusal {
        &self.refusal
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("rules", &self.rules.load())
            .field("bans", &self.bans)
            .field("refusal", &self.refusal)
            .field("dry_run", &self.dry_run.is_on())
            .field("apply", &self.apply)
            .finish()
    }
}

/// A layer that admits and refuses clients by an [`Access`].
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless it is added to a server or a stack"]
pub struct AccessLayer {
    access: Arc<Access>,
}

impl AccessLayer {
    /// Creates a layer that checks each connection with `access`.
    pub fn new(access: Access) -> Self {
        if access.apply == Apply::Existing {
            access.bans.shared.watchers.add(&access.open);
        }
        AccessLayer {
            access: Arc::new(access),
        }
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = AccessService<S>;

    fn layer(&self, inner: S) -> AccessService<S> {
        AccessService::new(inner, self.access.clone())
    }
}
