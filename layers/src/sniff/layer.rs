//! The layer and its settings.

use super::{Detector, Sniff};
use reagent::{UpgradeLayer, UpgradeService};
use std::{sync::Arc, time::Duration};
use tower_layer::Layer;

/// The same as for the PROXY protocol: enough for a segment to be retransmitted. HAProxy's
/// documentation also uses 5 s wherever it waits for a ClientHello (`tcp-request inspect-delay`).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// The kind of [`TimedOut`](reagent::TimedOut) when a client has not sent enough in time. It is
/// also the name of the upgrade.
pub const TIMEOUT: &str = "sniff";

/// The treatment of a client whose protocol is not known when the time limit expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Undecided {
    /// Ends the connection.
    #[default]
    End,
    /// Passes the connection on as [`Protocol::Unknown`](super::Protocol::Unknown), with any bytes
    /// received so far. For services that speak first.
    Unknown,
}

/// A layer that detects the protocol from the first bytes of a connection and leaves it as a
/// [`Sniffed`](super::Sniffed) in the extensions.
///
/// Whatever reads from the connection afterwards receives those bytes first.
///
/// Detection examines at most 16 KiB ([`max_len`](Self::max_len)) and takes at most 5 seconds
/// ([`timeout`](Self::timeout)). No buffer is held while a client is silent.
#[derive(Clone, Debug, Default)]
pub struct SniffLayer {
    config: Arc<Config>,
}

#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) detector: Detector,
    pub(super) timeout: Option<Duration>,
    pub(super) undecided: Undecided,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            detector: Detector::default(),
            timeout: Some(DEFAULT_TIMEOUT),
            undecided: Undecided::default(),
        }
    }
}

impl SniffLayer {
    /// Creates a layer that detects the known [protocols](super::Protocol), with the default
    /// limits: 16 KiB and 5 seconds.
    pub fn new() -> Self {
        Self::default()
    }

    fn change(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Adds a prefix to detect before the known protocols. See [`Detector::prefix`].
    pub fn prefix(self, name: impl Into<Arc<str>>, bytes: impl AsRef<[u8]>) -> Self {
        self.change(|config| {
            config.detector = std::mem::take(&mut config.detector).prefix(name, bytes);
        })
    }

    /// Sets the maximum number of bytes to examine. The default is 16 KiB. See
    /// [`Detector::max_len`].
    pub fn max_len(self, max_len: usize) -> Self {
        self.change(|config| {
            config.detector = std::mem::take(&mut config.detector).max_len(max_len);
        })
    }

    /// Sets whether the JA4 fingerprint of TLS clients is computed, for [`Sniffed::ja4`] and the label
    /// `tls.client.ja4`. The default is `false`. It costs a few microseconds for each client.
    ///
    /// [`Sniffed::ja4`]: super::Sniffed::ja4
    pub fn ja4(self, ja4: bool) -> Self {
        self.change(|config| {
            config.detector = std::mem::take(&mut config.detector).ja4(ja4);
        })
    }

    /// Sets whether the ClientHello of TLS clients is kept, for
    /// [`Sniffed::client_hello`](super::Sniffed::client_hello). The default is `false`. See
    /// [`Detector::keep_client_hello`].
    pub fn keep_client_hello(self, keep: bool) -> Self {
        self.change(|config| {
            config.detector = std::mem::take(&mut config.detector).keep_client_hello(keep);
        })
    }

    /// Sets the time limit for detection, or `None` for no limit. The default is 5 s, enough for a
    /// segment to be retransmitted.
    pub fn timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|config| config.timeout = limit.into())
    }

    /// Sets the treatment of a client whose protocol is not known when the time limit expires. The
    /// default is [`Undecided::End`], since most clients that share an address with others speak
    /// first.
    ///
    /// # Example
    ///
    /// A mail server that shares its port with web clients. It has to greet a client that waits for
    /// it:
    ///
    /// ```
    /// use reagent::{Connection, Server, testing::MemoryListener};
    /// use reagent_layers::sniff::{Protocol, SniffLayer, Sniffed, Undecided};
    /// use std::time::Duration;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// let (listener, clients) = MemoryListener::new();
    /// let sniff = SniffLayer::new()
    ///     .undecided(Undecided::Unknown)
    ///     .timeout(Duration::from_millis(300));
    /// let server = Server::new(listener)
    ///     .layer(sniff)
    ///     .start(reagent::handle(|mut conn: Connection| async move {
    ///         let sniffed = conn.extensions().get::<Sniffed>().expect("set by the layer");
    ///         let answer: &[u8] = match sniffed.protocol() {
    ///             Protocol::Http1 => b"HTTP/1.1 204 No Content\r\n\r\n",
    ///             _ => b"220 ready\r\n",
    ///         };
    ///         conn.write_all(answer).await
    ///     }))
    ///     .await?;
    ///
    /// let mut silent = clients.connect().await?;
    /// let mut answer = String::new();
    /// silent.read_to_string(&mut answer).await?;
    /// assert_eq!(answer, "220 ready\r\n");
    ///
    /// let mut web = clients.connect().await?;
    /// web.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
    /// answer.clear();
    /// web.read_to_string(&mut answer).await?;
    /// assert_eq!(answer, "HTTP/1.1 204 No Content\r\n\r\n");
    /// # Ok(())
    /// # }
    /// ```
    pub fn undecided(self, undecided: Undecided) -> Self {
        self.change(|config| config.undecided = undecided)
    }
}

impl<S> Layer<S> for SniffLayer {
    type Service = UpgradeService<Sniff, S>;

    fn layer(&self, inner: S) -> Self::Service {
        // The upgrade itself keeps the limit, since it may continue after the limit has expired.
        UpgradeLayer::new(Sniff(self.config.clone()))
            .timeout(None)
            .layer(inner)
    }
}
