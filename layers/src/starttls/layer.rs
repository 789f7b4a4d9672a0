//! The layer and its settings.

use super::{protocol::Protocol, upgrade::StartTls};
use crate::tls::TlsLayer;
use reagent::{UpgradeLayer, UpgradeService};
use std::time::Duration;
use tower_layer::Layer;

/// The same as the default of [`UpgradeLayer`], and of the handshake that follows.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A layer that encrypts the connections of clients that ask for TLS in their own protocol.
///
/// The certificates, limits and time limit of the handshake are those of the [`TlsLayer`] that it
/// is made from.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing unless it is added to a server or a stack"]
pub struct StartTlsLayer {
    start: StartTls,
}

impl StartTlsLayer {
    /// Creates a layer for LDAP. See the [module documentation](super#ldap).
    ///
    /// Clients that begin with TLS at once (`ldaps`) are refused. They use another port, with the
    /// [`TlsLayer`] itself.
    pub fn ldap(tls: TlsLayer) -> Self {
        Self::new(Protocol::Ldap, tls)
    }

    /// Creates a layer for PostgreSQL. See the [module documentation](super#postgresql).
    ///
    /// If `tls` negotiates the ALPN protocol `postgresql`, clients may also begin with TLS at once
    /// (`sslnegotiation=direct`, from version 17).
    pub fn postgres(tls: TlsLayer) -> Self {
        Self::new(Protocol::Postgres, tls)
    }

    fn new(protocol: Protocol, tls: TlsLayer) -> Self {
        StartTlsLayer {
            start: StartTls {
                protocol,
                tls,
                timeout: Some(DEFAULT_TIMEOUT),
                allows_plaintext: false,
            },
        }
    }

    /// Sets whether clients that do not ask for TLS are served in plaintext. By default they are
    /// refused with an error message of their protocol.
    ///
    /// A client that prefers TLS but accepts plaintext (`sslmode=prefer`, the default of libpq, or
    /// `ldapsearch -Z`) is then served in plaintext whenever an attacker on the path suppresses TLS.
    /// Use it only while clients are being moved to TLS.
    pub fn allow_plaintext(mut self, allow: bool) -> Self {
        self.start.allows_plaintext = allow;
        self
    }

    /// Sets the time limit for everything before the handshake, or `None` for no limit. The default
    /// is 10 s. The handshake has [its own](TlsLayer::timeout).
    pub fn timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.start.timeout = limit.into();
        self
    }
}

impl<S> Layer<S> for StartTlsLayer {
    type Service = UpgradeService<StartTls, S>;

    fn layer(&self, inner: S) -> Self::Service {
        // The upgrade has two steps with a limit each, and keeps both itself.
        UpgradeLayer::new(self.start.clone())
            .timeout(None)
            .layer(inner)
    }
}
