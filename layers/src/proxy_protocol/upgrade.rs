//! The upgrade, which removes a header from a connection.

use super::{
    Command, Config, HEALTH_CHECK, Header, Mode, Parsed, PrefixedIo, ProxyInfo, ProxyProtocolError,
    TIMEOUT, Version, error::excerpt, parse,
};
use crate::io::read_ahead;
use reagent::{BoxError, Connection, IoStream, Rejected, TimedOut, Upgrade};
use std::{io, pin::pin, sync::Arc};

/// The size of the first read: the specification wants a header to fit into "the smallest TCP
/// segment that any TCP/IP host is required to support", 536 bytes (section 2).
const FIRST_READ: usize = 536;

/// The upgrade of connections from trusted senders.
#[derive(Clone, Debug)]
pub(super) struct TakeHeader(pub(super) Arc<Config>);

/// The reason for which there is no header.
struct NoHeader {
    error: BoxError,
    /// True if the data, if any, may belong to a connection without a header.
    is_plain: bool,
}

impl NoHeader {
    /// For a header that is not valid.
    fn broken(error: impl Into<BoxError>) -> Self {
        NoHeader {
            error: error.into(),
            is_plain: false,
        }
    }

    /// For a connection that may have no header at all, unless its signature has been received.
    fn unless(version: Option<Version>, error: impl Into<BoxError>) -> Self {
        NoHeader {
            error: error.into(),
            is_plain: version.is_none(),
        }
    }
}

impl<Io: IoStream> Upgrade<Io> for TakeHeader {
    type Io = PrefixedIo<Io>;

    async fn upgrade(
        &self,
        mut conn: Connection<Io>,
    ) -> Result<Connection<PrefixedIo<Io>>, BoxError> {
        let config = &*self.0;
        let mut bytes = Vec::new();
        let handle = conn.handle();
        let received = {
            let receiving = pin!(receive(&mut conn, &mut bytes, config.max_len));
            handle.within_opening(config.timeout, receiving).await
        };
        let received = received.unwrap_or_else(|| {
            let error = TimedOut::new(TIMEOUT);
            Err(NoHeader::unless(version(&bytes), error))
        });
        match received {
            Ok((header, len)) => {
                bytes.drain(..len);
                note(&mut conn, header);
            }
            Err(NoHeader { is_plain: true, .. }) if config.mode == Mode::Optional => {}
            Err(NoHeader { error, .. }) => {
                if let Some(error) = error.downcast_ref::<ProxyProtocolError>() {
                    conn.label("error.type", error.kind());
                }
                return Err(error);
            }
        }
        Ok(conn.map_io_passthrough(|io| PrefixedIo::new(io, bytes)))
    }

    fn name(&self) -> &'static str {
        TIMEOUT
    }
}

/// Reads into `bytes` until they are a complete header or cannot become one. Cancel safe: whatever
/// was read is in `bytes`.
async fn receive<Io: IoStream>(
    conn: &mut Connection<Io>,
    bytes: &mut Vec<u8>,
    max_len: usize,
) -> Result<(Header, usize), NoHeader> {
    loop {
        let (version, needed) = match parse(bytes) {
            Parsed::Done { header, len } => {
                bound(header.version(), len, max_len)?;
                return Ok((header, len));
            }
            Parsed::Invalid(error) => {
                let is_plain = matches!(error, ProxyProtocolError::NotAHeader { .. });
                return Err(NoHeader {
                    error: error.into(),
                    is_plain,
                });
            }
            Parsed::Incomplete { needed, version } => {
                if let Some(version) = version {
                    bound(version, needed, max_len)?;
                }
                (version, needed)
            }
        };
        let room = needed.max(FIRST_READ) - bytes.len();
        match read_ahead(conn, bytes, room).await {
            Ok(0) if bytes.is_empty() => {
                return Err(NoHeader::unless(None, Rejected::new(HEALTH_CHECK)));
            }
            Ok(0) => {
                let got = excerpt(bytes);
                let error = ProxyProtocolError::Truncated { got };
                return Err(NoHeader::unless(version, error));
            }
            Ok(_) => {}
            // Proxies may end a check with a reset, to leave no `TIME_WAIT` behind.
            Err(error) if bytes.is_empty() && error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(NoHeader::broken(Rejected::new(HEALTH_CHECK)));
            }
            Err(error) => return Err(NoHeader::broken(error)),
        }
    }
}

/// Checks the length against `max`. Version 1 has a fixed limit.
fn bound(version: Version, len: usize, max: usize) -> Result<(), NoHeader> {
    if version == Version::V1 || len <= max {
        return Ok(());
    }
    Err(NoHeader::broken(ProxyProtocolError::TooLong {
        version,
        max,
        got: len,
    }))
}

/// Returns the version of a header that begins with these bytes.
fn version(bytes: &[u8]) -> Option<Version> {
    match parse(bytes) {
        Parsed::Incomplete { version, .. } => version,
        _ => None,
    }
}

/// Applies the header to the connection.
fn note<Io>(conn: &mut Connection<Io>, header: Header) {
    if let (Some(source), Some(destination)) = (header.source(), header.destination()) {
        conn.set_peer_addr(source);
        conn.set_local_addr(destination);
    }
    if let Some(authority) = header.authority() {
        conn.label("server.address", authority);
    }
    if header.command() == Command::Local {
        conn.label("proxy", "local");
    } else if header.source().is_none() {
        conn.label("proxy", "unknown");
    }
    conn.extensions_mut().insert(ProxyInfo(header));
}
