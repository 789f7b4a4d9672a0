//! What a header says of TLS between the client and this server.

use super::{Header, Ssl, Tlv};
use crate::tls::{TlsInfo, rustls::CipherSuite};
use x509_parser::{
    prelude::{FromDer, X509Certificate},
    public_key::PublicKey,
};

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
    let served = tls.server_certificate();
    let served = served.and_then(|served| X509Certificate::from_der(served).ok());
    let served = served.as_ref().map(|(_, served)| served);
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
        signature_algorithm: served.and_then(signature_algorithm),
        key_algorithm: served.and_then(key_algorithm),
        other: Vec::new(),
    }
}

fn common_name(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let name = certificate.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}

/// Returns the name of the algorithm that a certificate is signed with, as OpenSSL has it.
fn signature_algorithm(certificate: &X509Certificate<'_>) -> Option<String> {
    let oid = certificate.signature_algorithm.oid();
    let name = match oid.to_id_string().as_str() {
        "1.2.840.113549.1.1.5" => "RSA-SHA1",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.113549.1.1.11" => "RSA-SHA256",
        "1.2.840.113549.1.1.12" => "RSA-SHA384",
        "1.2.840.113549.1.1.13" => "RSA-SHA512",
        "1.2.840.10045.4.3.2" => "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3" => "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4" => "ecdsa-with-SHA512",
        "1.3.101.112" => "ED25519",
        _ => return None,
    };
    Some(name.to_owned())
}

/// Returns the kind and the number of bits of the key of a certificate, as HAProxy writes them. It has
/// no name for Ed25519.
fn key_algorithm(certificate: &X509Certificate<'_>) -> Option<String> {
    match certificate.public_key().parsed().ok()? {
        PublicKey::RSA(key) => Some(format!("RSA{}", key.key_size())),
        PublicKey::EC(_) => {
            let curve = certificate.public_key().algorithm.parameters.as_ref()?;
            let bits = match curve.as_oid().ok()?.to_id_string().as_str() {
                "1.2.840.10045.3.1.7" => 256,
                "1.3.132.0.34" => 384,
                "1.3.132.0.35" => 521,
                _ => return None,
            };
            Some(format!("EC{bits}"))
        }
        _ => None,
    }
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
