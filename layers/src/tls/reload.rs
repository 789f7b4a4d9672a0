//! Certificates that are replaced while the server runs.

use super::{ServedCertificate, TicketKeys, TlsConfigError, TlsLayer, store::Store};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::rustls::ServerConfig;

/// A handle that replaces the certificates of a [`TlsLayer`](super::TlsLayer) by the current
/// contents of its files. It is cheap to clone.
///
/// A reload is all or nothing. If every file is valid, handshakes that begin afterwards use the new
/// files; if anything is wrong with one of them, they keep using the old ones. Clients can still
/// resume their sessions. Open connections are not affected, unless the authority of the client's
/// certificate is no longer trusted and that [applies](super::TlsBuilder::apply) to them.
///
/// # Example
///
/// ```
/// use reagent_layers::tls::TlsLayer;
/// use std::{fs, time::Duration};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = std::env::temp_dir().join(format!("reagent-tls-reload-{}", std::process::id()));
/// # fs::create_dir_all(&dir)?;
/// # let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
/// # let issue = || rcgen::generate_simple_self_signed(["localhost".to_owned()]);
/// let first = issue()?;
/// fs::write(&cert, first.cert.pem())?;
/// fs::write(&key, first.signing_key.serialize_pem())?;
/// let layer = TlsLayer::from_pem_files(&cert, &key)?;
///
/// // Reload within a minute of each change.
/// let reloader = layer.reloader().on_reload(|result| {
///     if let Err(error) = result {
///         eprintln!("the old certificates stay in use: {error:?}");
///     }
/// });
/// let watch = tokio::spawn(reloader.clone().watch(Duration::from_secs(60)));
///
/// // Or reload now, for example on a signal. So far only one of the two files is new.
/// let second = issue()?;
/// fs::write(&cert, second.cert.pem())?;
/// assert!(reloader.reload().await.is_err());
/// fs::write(&key, second.signing_key.serialize_pem())?;
/// assert!(reloader.reload().await.is_ok());
/// # watch.abort();
/// # fs::remove_dir_all(&dir)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TlsReloader {
    store: Arc<Store>,
    on_reload: Option<OnReload>,
}

type OnReload = Arc<dyn Fn(&Result<(), Arc<TlsConfigError>>) + Send + Sync>;

/// The last attempt to reload the files.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LastReload {
    /// The time at which it ended.
    pub at: SystemTime,
    /// Its result.
    pub result: Result<(), Arc<TlsConfigError>>,
}

impl TlsReloader {
    pub(super) fn new(store: Arc<Store>) -> Self {
        TlsReloader {
            store,
            on_reload: None,
        }
    }

    /// Sets a callback for the result of every [`reload`](Self::reload), and of every change that
    /// [`watch`](Self::watch) detects.
    ///
    /// It applies to this handle and to handles that are cloned from it afterwards.
    pub fn on_reload(
        mut self,
        on_reload: impl Fn(&Result<(), Arc<TlsConfigError>>) + Send + Sync + 'static,
    ) -> Self {
        self.on_reload = Some(Arc::new(on_reload));
        self
    }

    /// Loads the files and replaces the certificates.
    ///
    /// The files are read until two reads 50 ms apart return the same contents, for at most 5
    /// seconds, so that a chain that is still being written is not used. They are read on Tokio's
    /// threads for blocking work.
    ///
    /// # Errors
    ///
    /// Returns a [`TlsConfigError`] if a file cannot be read or used. The old certificates then
    /// stay in use.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. If the future is dropped, either the files have been loaded or nothing has
    /// changed.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime.
    pub async fn reload(&self) -> Result<(), Arc<TlsConfigError>> {
        let result = self.store.reload(false).await.unwrap_or(Ok(()));
        self.tell(&result);
        result
    }

    /// Replaces the whole configuration by `config`. If the layer was made from files, the next
    /// [`reload`](Self::reload) returns to them.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.store.replace(config);
    }

    /// Replaces the certificates and authorities by those that another layer has loaded, for a
    /// program that loads everything before it changes anything. The next
    /// [`reload`](Self::reload) returns to the files of this layer.
    ///
    /// If changes [apply](super::TlsBuilder::apply) to open connections, the call blocks while the
    /// certificates of their clients are verified.
    pub fn replace_with(&self, layer: &TlsLayer) {
        self.store.replace_with(layer.store());
    }

    /// Ends the open connections whose clients are no longer admitted, if changes
    /// [apply](super::TlsBuilder::apply) to them: by the condition of
    /// [`TlsLayer::admit`](super::TlsLayer::admit), by the authorities and revocation lists that were
    /// loaded last, or by the dates of their certificates. Otherwise it does nothing.
    ///
    /// Call it after a change of what that condition reads. A connection that is being accepted
    /// meanwhile is not missed: it is registered before it is checked. A successful
    /// [`reload`](Self::reload) does the same.
    ///
    /// Clients are checked on Tokio's threads for blocking work.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after it was polled, the connections are checked all the same.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime, and if the condition panics.
    pub async fn recheck(&self) {
        self.store.recheck().await;
    }

    /// Returns the certificates that are served, in the order of the configuration, and then those
    /// of the [resolver](super::CertificateResolver). The list is empty if the configuration was not
    /// made by a [`TlsBuilder`](super::TlsBuilder).
    pub fn certificates(&self) -> Vec<ServedCertificate> {
        let current = self.store.current();
        let certificates = current.certificates.as_ref();
        certificates.map_or_else(Vec::new, |certificates| certificates.served())
    }

    /// Returns the keys of session tickets, the same as
    /// [`TlsLayer::ticket_keys`](super::TlsLayer::ticket_keys). A reload keeps them.
    pub fn ticket_keys(&self) -> Option<TicketKeys> {
        self.store.ticket_keys()
    }

    /// Returns the time and result of the last reload, or `None` if there was none since the layer
    /// was built.
    pub fn last_reload(&self) -> Option<LastReload> {
        self.store.last_reload()
    }

    /// Checks the files now and then once per `every`, and reloads them when their contents have
    /// changed. Spawn this future, and abort its task to stop watching.
    ///
    /// Each change is tried once, and the result is passed to [`on_reload`](Self::on_reload). If a
    /// certificate and its key are replaced one after the other, the change in between may be
    /// reported as a mismatch. The old pair is served until the new one matches.
    ///
    /// The future completes when the layer, the servers that use it and the other reloaders are
    /// gone, and at once if the layer was not made from files.
    ///
    /// # Example
    ///
    /// ```
    /// use reagent::{Connection, Server, testing::MemoryListener};
    /// use reagent_layers::tls::TlsLayer;
    /// use std::{fs, sync::Arc, time::Duration};
    /// use tokio::{io::{AsyncReadExt, AsyncWriteExt}, sync::mpsc::unbounded_channel};
    /// use tokio_rustls::{TlsConnector, rustls};
    ///
    /// # // The time passes at once.
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// # let dir = std::env::temp_dir().join(format!("reagent-tls-watch-{}", std::process::id()));
    /// # fs::create_dir_all(&dir)?;
    /// # let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    /// # let issue = || {
    /// #     let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    /// #     fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    /// #     fs::write(&cert, made.cert.pem()).unwrap();
    /// #     made.cert
    /// # };
    /// let old = issue();
    /// let layer = TlsLayer::from_pem_files(&cert, &key)?;
    /// let (results, mut reloads) = unbounded_channel();
    /// let reloader = layer.reloader().on_reload(move |result| {
    ///     let _ = results.send(result.clone());
    /// });
    /// let watch = tokio::spawn(reloader.watch(Duration::from_secs(60)));
    /// let (listener, clients) = MemoryListener::new();
    /// let server = Server::new(listener)
    ///     .layer(layer)
    ///     .start(reagent::handle(|mut conn: Connection| async move {
    ///         conn.write_all(b"hello").await?;
    ///         conn.shutdown().await
    ///     }))
    ///     .await?;
    ///
    /// // The certificate is renewed. Within a minute it is served.
    /// let new = issue();
    /// reloads.recv().await.expect("watching")?;
    ///
    /// for (trusted, is_served) in [(new, true), (old, false)] {
    ///     let mut roots = rustls::RootCertStore::empty();
    ///     roots.add(trusted.der().clone())?;
    ///     let config = rustls::ClientConfig::builder()
    ///         .with_root_certificates(roots)
    ///         .with_no_client_auth();
    ///     let connector = TlsConnector::from(Arc::new(config));
    ///     let stream = clients.connect().await?;
    ///     let connected = connector.connect("localhost".try_into()?, stream).await;
    ///     assert_eq!(connected.is_ok(), is_served);
    ///     if let Ok(mut client) = connected {
    ///         let mut answer = String::new();
    ///         client.read_to_string(&mut answer).await?;
    ///         assert_eq!(answer, "hello");
    ///     }
    /// }
    /// # watch.abort();
    /// # fs::remove_dir_all(&dir)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. A reload in progress takes effect as a whole or not at all.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime.
    pub async fn watch(self, every: Duration) {
        let TlsReloader { store, on_reload } = self;
        if !store.has_files() {
            return;
        }
        let weak = Arc::downgrade(&store);
        drop(store);
        let mut looks = interval(every.max(Duration::from_millis(1)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let Some(store) = weak.upgrade() else { return };
            if let (Some(result), Some(on_reload)) = (store.reload(true).await, &on_reload) {
                on_reload(&result);
            }
        }
    }

    fn tell(&self, result: &Result<(), Arc<TlsConfigError>>) {
        if let Some(on_reload) = &self.on_reload {
            on_reload(result);
        }
    }
}

impl fmt::Debug for TlsReloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsReloader")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
