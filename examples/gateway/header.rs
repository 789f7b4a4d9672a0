//! The PROXY header that describes a client to the upstream.

use crate::options::ProxyOut;
use reagent::{Addr, BoxError, Connection};
use reagent_layers::{
    proxy_protocol::{Header, Ssl, Tlv},
    tls::TlsInfo,
};

/// Returns the header for this client.
pub fn encode(conn: &Connection, version: ProxyOut) -> Result<Vec<u8>, BoxError> {
    let (client, local) = (conn.peer_addr().clone(), conn.local_addr()?);
    let header = match (version, &client, &local) {
        (ProxyOut::V1, Addr::Tcp(client), Addr::Tcp(local)) => Header::v1(*client, *local),
        (ProxyOut::V1, ..) => Header::v1_unknown(),
        (ProxyOut::V2, ..) => {
            let mut header = Header::v2(client, local).checksum();
            if let Some(tls) = conn.extensions().get::<TlsInfo>() {
                header = header.tlv(Tlv::Ssl(ssl(tls)));
                if let Some(alpn) = tls.alpn() {
                    header = header.tlv(Tlv::Alpn(alpn.to_owned()));
                }
                if let Some(name) = tls.server_name() {
                    header = header.tlv(Tlv::Authority(name.to_owned()));
                }
            }
            header
        }
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

fn ssl(tls: &TlsInfo) -> Ssl {
    let has_certificate = !tls.peer_certificates().is_empty();
    // PP2_CLIENT_SSL, with PP2_CLIENT_CERT_CONN or PP2_CLIENT_CERT_SESS.
    let client = match (has_certificate, tls.is_resumed()) {
        (false, _) => 0x01,
        (true, false) => 0x01 | 0x02,
        (true, true) => 0x01 | 0x04,
    };
    Ssl {
        client,
        verify: u32::from(!has_certificate),
        version: Some(format!("TLSv{}", tls.version())),
        ..Ssl::default()
    }
}
