//! The layer and its settings.

use super::{ProxyProtocol, trust::Trust};
use crate::Network;
use std::{sync::Arc, time::Duration};
use tower_layer::Layer;

/// The specification requires at least 3 seconds, for a segment to be retransmitted (section 2).
/// Postfix waits for 5 (`smtpd_upstream_proxy_timeout`).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// The same as for nginx (`NGX_PROXY_PROTOCOL_MAX_HEADER`). Addresses, names and the subject of a
/// certificate are far smaller. The format would allow 64 KiB per connection, before anything is
/// known about the client.
const DEFAULT_MAX_LEN: usize = 4096;

/// The choice of whether trusted senders must send a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// No header is expected. If one is sent, it is passed on as data.
    Off,
    /// A connection that does not begin with a header is served as it is.
    ///
    /// This is decided at the first byte that differs from a header. A client that has sent nothing
    /// when the time limit expires, or less than the signature of a header, is served at that time.
    /// A connection that begins with the signature must continue with a valid header.
    Optional,
    /// A connection without a header is ended.
    #[default]
    Required,
}

/// The treatment of clients that are not trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Untrusted {
    /// They are rejected.
    #[default]
    Refuse,
    /// They are served at once and as they are. If they send a header, it is passed on as data.
    PassThrough,
}

/// A layer that receives the client's address in a PROXY header.
///
/// It removes the header, sets the connection's addresses accordingly, and leaves the header in the
/// extensions as a [`ProxyInfo`](super::ProxyInfo).
///
/// What the proxy says about encryption ([`Header::ssl`](super::Header::ssl)) does not change
/// `Connection::is_secure`, which describes the connection between the proxy and this server.
#[derive(Clone, Debug)]
pub struct ProxyProtocolLayer {
    config: Arc<Config>,
}

#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) mode: Mode,
    pub(super) trust: Trust,
    pub(super) untrusted: Untrusted,
    pub(super) timeout: Option<Duration>,
    pub(super) max_len: usize,
}

impl ProxyProtocolLayer {
    /// Creates a layer that requires a header from senders in the networks `trusted`, and refuses
    /// all others.
    ///
    /// A [`Network`] is parsed from a single address or a CIDR. It is compared with the address of
    /// the socket, never with an address from a header. IPv4 clients of a dual-stack socket, with
    /// addresses such as `::ffff:192.0.2.1`, count as IPv4.
    pub fn new(trusted: impl IntoIterator<Item = Network>) -> Self {
        let mut trust = Trust::default();
        trusted.into_iter().for_each(|network| trust.add(network));
        ProxyProtocolLayer {
            config: Arc::new(Config {
                mode: Mode::default(),
                trust,
                untrusted: Untrusted::default(),
                timeout: Some(DEFAULT_TIMEOUT),
                max_len: DEFAULT_MAX_LEN,
            }),
        }
    }

    fn change(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Sets whether trusted senders must send a header. The default is [`Mode::Required`], since
    /// the specification forbids guessing.
    pub fn mode(self, mode: Mode) -> Self {
        self.change(|config| config.mode = mode)
    }

    /// Also trusts the clients of Unix sockets, which the permissions of the socket's file have let
    /// in.
    pub fn trust_unix(self) -> Self {
        self.change(|config| config.trust.unix = true)
    }

    /// Trusts every sender. Use it only if nobody but the proxy can reach the listener.
    pub fn trust_all(self) -> Self {
        self.change(|config| config.trust.all = true)
    }

    /// Sets the treatment of clients that are not trusted. The default is [`Untrusted::Refuse`],
    /// since a server behind a proxy is usually reached only through it.
    ///
    /// # Example
    ///
    /// Clients of a proxy and direct clients at one address:
    ///
    /// ```
    /// use reagent::{Connection, Server, testing::MemoryListener};
    /// use reagent_layers::proxy_protocol::{Header, ProxyProtocolLayer, Untrusted};
    /// use std::net::SocketAddr;
    /// use tokio::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), reagent::BoxError> {
    /// let (listener, clients) = MemoryListener::new();
    /// let layer = ProxyProtocolLayer::new(["10.0.0.7".parse()?]).untrusted(Untrusted::PassThrough);
    /// let server = Server::new(listener)
    ///     .layer(layer)
    ///     .start(reagent::handle(|mut conn: Connection| async move {
    ///         let answer = conn.peer_addr().to_string();
    ///         conn.write_all(answer.as_bytes()).await
    ///     }))
    ///     .await?;
    ///
    /// let client: SocketAddr = "192.0.2.1:56324".parse()?;
    /// let proxy: SocketAddr = "10.0.0.7:40000".parse()?;
    /// let mut through_proxy = clients.connect_from(proxy).await?;
    /// through_proxy.write_all(&Header::v2(client, proxy).encode()?).await?;
    /// let mut direct = clients.connect_from(client).await?;
    /// for mut stream in [through_proxy, direct] {
    ///     let mut answer = String::new();
    ///     stream.read_to_string(&mut answer).await?;
    ///     assert_eq!(answer, "192.0.2.1:56324");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn untrusted(self, untrusted: Untrusted) -> Self {
        self.change(|config| config.untrusted = untrusted)
    }

    /// Sets the time limit for receiving the header, or `None` for no limit. The default is 5 s:
    /// the specification requires at least 3 s, for a segment to be retransmitted.
    pub fn timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|config| config.timeout = limit.into())
    }

    /// Sets the maximum length of a header of version 2, in bytes. The default is 4096, as for
    /// nginx.
    ///
    /// A longer header ends the connection before it is read. A header of version 1 has at most 107
    /// bytes.
    pub fn max_len(self, max_len: usize) -> Self {
        self.change(|config| config.max_len = max_len)
    }
}

impl<S> Layer<S> for ProxyProtocolLayer {
    type Service = ProxyProtocol<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ProxyProtocol::new(self.config.clone(), inner)
    }
}
