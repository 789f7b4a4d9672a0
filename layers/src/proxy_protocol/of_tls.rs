//! What a header says of TLS between the client and this server.

use super::{Header, Ssl, Tlv};
use crate::tls::{TlsInfo, rustls::CipherSuite};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Flags of section 2.2.6.
const CLIENT_SSL: u8 = 0x01;
const CLIENT_CERT_CONN: u8 = 0x02;
const CLIENT_CERT_SESS: u8 = 0x04;

/// Adds the TLVs of a TLS connection.
pub(super) fn describe(header: Header, tls: &TlsInfo) -> Header {
    let mut header = header.tlv(Tlv::Ssl(ssl(tls)));
    if let Some(alpn) = tls.alpn() {
        header = header.tlv(Tlv::Alpn(alpn.to_owned()));
    }
    match tls.server_name() {
        Some(name) => header.tlv(Tlv::Authority(name.to_owned())),
        None => header,
    }
}

fn ssl(tls: &TlsInfo) -> Ssl {
    let certificate = tls.peer_certificates().first();
    Ssl {
        client: match (certificate, tls.is_resumed()) {
            (None, _) => CLIENT_SSL,
            (Some(_), false) => CLIENT_SSL | CLIENT_CERT_CONN | CLIENT_CERT_SESS,
            (Some(_), true) => CLIENT_SSL | CLIENT_CERT_SESS,
        },
        // The layer admits no certificate that is not valid.
        verify: u32::from(certificate.is_none()),
        version: Some(format!("TLSv{}", tls.version())),
        common_name: certificate.and_then(|certificate| common_name(certificate)),
        cipher: Some(openssl_name(tls.cipher_suite())),
        ..Ssl::default()
    }
}

fn common_name(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let name = certificate.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}

/// Returns the name of the cipher suite in OpenSSL, which other proxies send. For TLS 1.3, it is
/// that of the IANA.
fn openssl_name(suite: CipherSuite) -> String {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
            "ECDHE-ECDSA-CHACHA20-POLY1305"
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        other => return format!("{other:?}"),
    }
    .to_owned()
}
