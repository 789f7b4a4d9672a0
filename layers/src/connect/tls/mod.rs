//! TLS towards upstreams.

mod builder;
mod error;
mod source;
mod store;
mod verifier;

pub use builder::TlsClientBuilder;
pub use error::{TlsClientError, TlsClientErrorKind};

use super::{Target, plain::Plain};
use crate::tls::TlsConfigError;
use std::{fmt, net::IpAddr, sync::Arc, time::Duration};
use store::Store;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, pki_types::ServerName},
};

/// TLS towards upstreams: authorities, name, ALPN and client certificate. It is cheap to clone, and
/// clones share what is reloaded.
///
/// TLS 1.2 and 1.3 are used. By default, the certificate of the upstream is verified for the name
/// or IP address of the [`Target`], by the authorities of the system.
///
/// # Example
///
/// ```no_run
/// use reagent_layers::connect::{Connect, TlsClient};
/// use std::time::Duration;
///
/// # async fn example() -> Result<(), reagent::BoxError> {
/// let tls = TlsClient::builder()
///     .authorities("/etc/gateway/ca.pem")
///     .certificate("/etc/gateway/client.pem", "/etc/gateway/client.key")
///     .alpn(["postgresql"])
///     .build()?;
/// let watch = tls.clone().watch(Duration::from_secs(60), |result| {
///     if let Err(error) = result {
///         eprintln!("the old files stay in use: {error:?}");
///     }
/// });
/// tokio::spawn(watch);
/// let connect = Connect::new().tls(tls);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TlsClient {
    store: Arc<Store>,
    server_name: Option<ServerName<'static>>,
    requires_close_notify: bool,
}

impl TlsClient {
    /// Returns a builder.
    pub fn builder() -> TlsClientBuilder {
        TlsClientBuilder::default()
    }

    /// Creates a client that uses `config` unchanged.
    pub fn from_config(config: Arc<ClientConfig>) -> Self {
        TlsClient {
            store: Arc::new(Store::from_config(config)),
            server_name: None,
            requires_close_notify: true,
        }
    }

    /// Loads the files, and the authorities of the system if there is no file of authorities.
    /// Handshakes that begin afterwards use them. A session that began under the old ones is not
    /// resumed.
    ///
    /// As with [`TlsReloader::reload`](crate::tls::TlsReloader::reload), files are read until two
    /// reads 50 ms apart return the same, on Tokio's threads for blocking work. A client that was
    /// made [from a configuration](Self::from_config) has none, and stays as it is.
    ///
    /// # Errors
    ///
    /// Returns a [`TlsConfigError`] if a file cannot be read or used. The old configuration then
    /// stays in use.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: either the files have been loaded or nothing has changed.
    pub async fn reload(&self) -> Result<(), Arc<TlsConfigError>> {
        self.store.reload(false).await.unwrap_or(Ok(()))
    }

    /// Checks the files once per `every`, reloads them when their contents have changed, and passes
    /// the result on. Spawn this future, and abort its task to stop watching.
    ///
    /// It completes when the client and its other clones are gone, and at once if the client was not
    /// made from files.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. A reload in progress takes effect as a whole or not at all.
    pub async fn watch(
        self,
        every: Duration,
        on_reload: impl Fn(&Result<(), Arc<TlsConfigError>>) + Send,
    ) {
        let store = Arc::downgrade(&self.store);
        drop(self);
        store::watch(store, every, on_reload).await;
    }

    pub(super) fn requires_close_notify(&self) -> bool {
        self.requires_close_notify
    }

    pub(super) async fn handshake(
        &self,
        target: &Target,
        io: Plain,
    ) -> Result<TlsStream<Plain>, TlsClientError> {
        let name = self.server_name.clone().or_else(|| name_of(target));
        let name = name.ok_or_else(TlsClientError::no_name)?;
        let connector = TlsConnector::from(self.store.current());
        let stream = connector.connect(name.clone(), io).await;
        stream.map_err(|error| TlsClientError::new(&name, error))
    }
}

/// Returns the name for which the certificate of the upstream must be valid.
fn name_of(target: &Target) -> Option<ServerName<'static>> {
    match target {
        Target::Addr(addr) => Some(ServerName::from(addr.ip())),
        Target::Unix(_) => None,
        Target::Name { host, .. } => server_name(host),
    }
}

/// Parses a host name or IP address, or an address with a scope, for which no certificate is issued.
fn server_name(host: &str) -> Option<ServerName<'static>> {
    let host = host.split('%').next().unwrap_or(host);
    // RFC 6066, section 3: without the trailing dot.
    let host = host.strip_suffix('.').unwrap_or(host);
    match host.parse::<IpAddr>() {
        Ok(ip) => Some(ServerName::from(ip)),
        Err(_) => ServerName::try_from(host.to_owned()).ok(),
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient")
            .field("store", &self.store)
            .field("server_name", &self.server_name)
            .field("requires_close_notify", &self.requires_close_notify)
            .finish()
    }
}
