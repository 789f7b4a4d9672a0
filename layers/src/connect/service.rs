//! The connector, and its settings.

use super::{
    ConnectError, ConnectRequest, Resolve, UpstreamIo, open::open, settings::Settings, socket::Hook,
};
use reagent::Keepalive;
use socket2::SockRef;
use std::{
    fmt,
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tower_service::Service;

#[cfg(feature = "connect_tls")]
use super::TlsClient;

/// A connector: a service that takes a [`Target`](super::Target) or a [`ConnectRequest`], and
/// returns an [`UpstreamIo`]. It is cheap to clone.
///
/// See the [module documentation](super) for an example.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Connect {
    settings: Arc<Settings>,
}

impl Connect {
    /// Creates a connector with the default settings: the [`System`](super::System) resolver, limits
    /// as in [the table](super#limits), `TCP_NODELAY`, and no TLS.
    pub fn new() -> Self {
        Connect::default()
    }

    /// Sets the resolver of names. The default is [`System`](super::System).
    pub fn resolver(self, resolver: impl Resolve) -> Self {
        self.with(|settings| settings.resolver = Arc::new(resolver))
    }

    /// Sets the limit for the whole connection: resolving the name, connecting, sending the preface
    /// and the TLS handshake. The default is 10 s.
    pub fn timeout(self, limit: Duration) -> Self {
        self.with(|settings| settings.timeout = limit)
    }

    /// Sets the limit for the attempt to connect to one address. The default is 5 s.
    pub fn attempt_timeout(self, limit: Duration) -> Self {
        self.with(|settings| settings.attempt_timeout = limit)
    }

    /// Sets how long an attempt may go unanswered before the next address is tried as well: the
    /// "connection attempt delay" of RFC 8305, from 100 ms to 2 s. The default is 250 ms.
    pub fn attempt_delay(self, delay: Duration) -> Self {
        let (least, most) = (Duration::from_millis(100), Duration::from_secs(2));
        self.with(|settings| settings.attempt_delay = delay.clamp(least, most))
    }

    /// Sets the number of addresses of a name that are tried. The default is 16, and 0 counts as 1.
    pub fn max_addresses(self, addresses: usize) -> Self {
        self.with(|settings| settings.max_addresses = addresses.max(1))
    }

    /// Sets the address from which TCP connections are made, one for each family. By default the
    /// system chooses.
    ///
    /// If it is set for one family only, addresses of the other family are not connected to. The
    /// system chooses the port without regard to the target, so one address has at most about
    /// 28,000 connections on Linux (`ip_local_port_range`).
    pub fn source(self, source: IpAddr) -> Self {
        self.with(|settings| match source {
            IpAddr::V4(ip) => settings.options.source_v4 = Some(ip),
            IpAddr::V6(ip) => settings.options.source_v6 = Some(ip),
        })
    }

    /// Sets `TCP_NODELAY`. The default is `true`.
    pub fn nodelay(self, nodelay: bool) -> Self {
        self.with(|settings| settings.options.nodelay = nodelay)
    }

    /// Sets the keepalive times of TCP. The default is `None`, no keepalive.
    pub fn keepalive(self, keepalive: impl Into<Option<Keepalive>>) -> Self {
        let keepalive = keepalive.into();
        self.with(|settings| settings.options.keepalive = keepalive)
    }

    /// Sets `SO_MARK`, by which packets are routed and filtered. Linux only; requires
    /// `CAP_NET_ADMIN`.
    pub fn mark(self, mark: u32) -> Self {
        self.with(|settings| settings.options.mark = Some(mark))
    }

    /// Sets the type of service, `IP_TOS` or `IPV6_TCLASS`: DSCP in the upper six bits. IPv6 on
    /// Linux only.
    pub fn tos(self, tos: u8) -> Self {
        self.with(|settings| settings.options.tos = Some(tos.into()))
    }

    /// Sets a function that changes the options of each TCP socket before it is bound and
    /// connected, for options that have no method here. An error of the function fails the attempt.
    pub fn before_connect(
        self,
        hook: impl Fn(&SockRef<'_>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let hook = Hook(Arc::new(hook));
        self.with(|settings| settings.options.before_connect = Some(hook))
    }

    /// Encrypts connections with TLS. The default is `None`, no TLS.
    #[cfg(feature = "connect_tls")]
    pub fn tls(self, tls: impl Into<Option<TlsClient>>) -> Self {
        let tls = tls.into();
        self.with(|settings| settings.tls = tls)
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<R: Into<ConnectRequest>> Service<R> for Connect {
    type Response = UpstreamIo;
    type Error = ConnectError;
    type Future = ConnectFuture;

    /// It is always ready. To limit the connections that are being made, use
    /// `tower::limit::ConcurrencyLimit`.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> ConnectFuture {
        ConnectFuture(Box::pin(open(self.settings.clone(), request.into())))
    }
}

/// The future of a [`Connect`] service.
///
/// # Cancel safety
///
/// Dropping it closes every socket that it has opened.
#[must_use = "futures do nothing unless they are polled"]
pub struct ConnectFuture(Pin<Box<dyn Future<Output = Result<UpstreamIo, ConnectError>> + Send>>);

impl Future for ConnectFuture {
    type Output = Result<UpstreamIo, ConnectError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ConnectFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectFuture")
    }
}
