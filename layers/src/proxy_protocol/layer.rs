//! The layer and its settings.

use super::{ProxyProtocol, trust::Trust};
use crate::Network;
use std::{sync::Arc, time::Duration};
use tower_layer::Layer;

/// The specification wants at least 3 seconds, for a segment that is sent twice (section 2); Postfix waits for 5
/// (`smtpd_upstream_proxy_timeout`).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// As nginx (`NGX_PROXY_PROTOCOL_MAX_HEADER`). Addresses, names and a certificate's subject stay far below;
/// the format would allow 64 KiB, for each connection and before anything is known of it.
const DEFAULT_MAX_LEN: usize = 4096;

/// The choice of whether trusted senders must send a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The layer does nothing: a header is payload like all else.
    Off,
    /// What does not begin with a header is served as it is.
    ///
    /// That is known at the first byte that differs. A client that has sent nothing at the
    /// time limit, or less than the signature of a header, is served then. What begins with a signature is a header, and must be a good one.
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
    /// They are served as they are, at once; a header from them is payload like all else.
    PassThrough,
}

/// A layer that takes off the PROXY header and notes what it says: in the connection's addresses, and as
/// [`ProxyInfo`](super::ProxyInfo) in its extensions.
///
/// The proxy's own word on encryption ([`Header::ssl`](super::Header::ssl)) changes nothing in
/// `Connection::is_secure`, which is about the bytes that come here.
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
    /// Requires a header of senders in the networks `trusted`, and refuses all others.
    ///
    /// A [`Network`] is parsed from a single address or a CIDR. The socket's address counts, never one that a
    /// header named; IPv4 clients of a socket of both families, with addresses such as `::ffff:192.0.2.1`,
    /// count as IPv4.
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

    /// Sets whether trusted senders have to send a header. Default [`Mode::Required`].
    pub fn mode(self, mode: Mode) -> Self {
        self.change(|config| config.mode = mode)
    }

    /// Trusts the clients of Unix sockets too, whom the permissions of the socket's file let in.
    pub fn trust_unix(self) -> Self {
        self.change(|config| config.trust.unix = true)
    }

    /// Trusts everybody: where nobody but the proxy can reach the listener.
    pub fn trust_all(self) -> Self {
        self.change(|config| config.trust.all = true)
    }

    /// Sets what is done with clients that are not trusted. Default [`Untrusted::Refuse`].
    pub fn untrusted(self, untrusted: Untrusted) -> Self {
        self.change(|config| config.untrusted = untrusted)
    }

    /// Sets how long the header may take; `None` is as long as the sender likes. Default 5 s.
    pub fn timeout(self, limit: impl Into<Option<Duration>>) -> Self {
        self.change(|config| config.timeout = limit.into())
    }

    /// Sets how many bytes a header of version 2 may have. Default 4096; a longer one ends the connection before
    /// it is read. A header of version 1 has 107 at most.
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
