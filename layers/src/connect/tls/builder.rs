//! A builder of clients from PEM files.

use super::{TlsClient, server_name, source::Source, store::Store};
use crate::tls::{TlsConfigError, rustls::crypto::CryptoProvider};
use std::{path::Path, sync::Arc};

/// A builder that makes a [`TlsClient`] from PEM files.
#[derive(Clone, Debug)]
#[must_use]
pub struct TlsClientBuilder {
    source: Source,
    server_name: Option<String>,
    requires_close_notify: bool,
}

impl Default for TlsClientBuilder {
    fn default() -> Self {
        TlsClientBuilder {
            source: Source::default(),
            server_name: None,
            requires_close_notify: true,
        }
    }
}

impl TlsClientBuilder {
    /// Trusts the authorities in this file, and only these. The default is the authorities of the
    /// system, as `SSL_CERT_FILE` and `SSL_CERT_DIR` name them, or otherwise in the usual places.
    pub fn authorities(mut self, path: impl AsRef<Path>) -> Self {
        self.source.authorities = Some(path.as_ref().to_owned());
        self
    }

    /// Refuses upstreams whose certificate was revoked by one of these lists: the CRLs (RFC 5280) in a
    /// PEM file. They are read again with the other files. By default, revocation is not checked.
    ///
    /// As with [`TlsBuilder::client_crls`](crate::tls::TlsBuilder::client_crls), the file needs a list
    /// of every authority in an upstream's chain that has issued a certificate, and the newest list of
    /// an authority must not be older than its `nextUpdate`. Otherwise the upstream is refused. Lists
    /// are not downloaded, so with the authorities of the system, this is rarely of use.
    ///
    /// No sessions are resumed then, since the certificate of a resumed session is not verified again.
    pub fn crls(mut self, lists: impl AsRef<Path>) -> Self {
        self.source.crls = Some(lists.as_ref().to_owned());
        self
    }

    /// Sets the certificate that is shown to upstreams which ask for one. The file contains the
    /// chain, the client's own certificate first, and `key` may be the same file.
    pub fn certificate(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.source.identity = Some((certificate.as_ref().to_owned(), key.as_ref().to_owned()));
        self
    }

    /// Sets the protocols to negotiate (ALPN, RFC 7301) in order of preference. By default, none
    /// are offered.
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        let protocols = protocols.into_iter();
        self.source.alpn = protocols
            .map(|protocol| protocol.as_ref().to_owned())
            .collect();
        self
    }

    /// Sets the name that upstreams are asked for (SNI) and that their certificates must be valid
    /// for. By default, it is that of the [`Target`](crate::connect::Target). A Unix socket has no
    /// name, so it needs this one.
    ///
    /// With an IP address, no name is asked for.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Sets the name or IP address that the certificates of upstreams must be valid for, if it
    /// differs from the name that they are asked for.
    pub fn verify_name(mut self, name: impl Into<String>) -> Self {
        self.source.verify_name = Some(name.into());
        self
    }

    /// Sets whether reading fails if the upstream ends its stream without `close_notify`. The
    /// default is `true`, because only `close_notify` shows that nothing was cut off; a `relay` then
    /// resets the client, after it has delivered what arrived.
    pub fn require_close_notify(mut self, required: bool) -> Self {
        self.requires_close_notify = required;
        self
    }

    /// Sets the cryptography. The default is that of the process
    /// ([`CryptoProvider::install_default`]), or else the one that `tls` uses.
    pub fn provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.source.provider = Some(provider);
        self
    }

    /// Reads the files and builds the client.
    ///
    /// # Errors
    ///
    /// Returns a [`TlsConfigError`] if a file cannot be read or used, if a name is invalid, or if
    /// the system has no authorities.
    pub fn build(self) -> Result<TlsClient, TlsConfigError> {
        let server_name = match self.server_name {
            Some(name) => Some(server_name(&name).ok_or(TlsConfigError::HostName { name })?),
            None => None,
        };
        Ok(TlsClient {
            store: Arc::new(Store::from_source(self.source)?),
            server_name,
            requires_close_notify: self.requires_close_notify,
        })
    }
}
