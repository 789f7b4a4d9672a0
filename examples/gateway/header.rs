//! The PROXY header that describes a client to the upstream.

use crate::options::ProxyOut;
use reagent::{BoxError, Connection};
use reagent_layers::proxy_protocol::Header;

/// Returns the header for this client.
pub fn encode(conn: &Connection, version: ProxyOut) -> Result<Vec<u8>, BoxError> {
    let header = Header::of(conn);
    let header = match version {
        ProxyOut::V1 => header.into_v1(),
        ProxyOut::V2 => header.checksum(),
    };
    Ok(header.encode()?)
}

/// Returns the header of a connection that the gateway makes for itself.
pub fn of_check(version: ProxyOut) -> Result<Vec<u8>, BoxError> {
    let header = match version {
        ProxyOut::V1 => Header::v1_unknown(),
        ProxyOut::V2 => Header::v2_local(),
    };
    Ok(header.encode()?)
}
