//! The encryption between a client and the proxy (section 2.2.6).

use super::{EncodeError, tlv};
use std::str;

const CLIENT_SSL: u8 = 0x01;
const CLIENT_CERT_CONN: u8 = 0x02;
const CLIENT_CERT_SESS: u8 = 0x04;

/// The value of an SSL TLV: the encryption between the client and the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ssl {
    /// The flags as received.
    pub client: u8,
    /// 0 if the client has shown a certificate that was verified. The meaning of other values
    /// depends on the proxy.
    pub verify: u32,
    /// The protocol version, such as `TLSv1.3`.
    pub version: Option<String>,
    /// The common name in the client's certificate.
    pub common_name: Option<String>,
    /// The cipher suite, such as `ECDHE-RSA-AES128-GCM-SHA256`.
    pub cipher: Option<String>,
    /// The algorithm that the certificate which the proxy showed to the client is signed with, such
    /// as `RSA-SHA256` or `ecdsa-with-SHA256`.
    pub signature_algorithm: Option<String>,
    /// The kind and size of the key in that certificate, such as `RSA2048` or `EC256`.
    pub key_algorithm: Option<String>,
    /// Everything else, by type: unknown entries, repeated entries, and entries that should be text
    /// but are not.
    pub other: Vec<(u8, Vec<u8>)>,
}

impl Ssl {
    /// Returns whether the client connected over TLS.
    pub fn is_tls(&self) -> bool {
        self.client & CLIENT_SSL != 0
    }

    /// Returns whether the client showed a certificate on this connection.
    pub fn has_certificate(&self) -> bool {
        self.client & CLIENT_CERT_CONN != 0
    }

    /// Returns whether the client showed a certificate in the TLS session that this connection
    /// belongs to.
    pub fn has_session_certificate(&self) -> bool {
        self.client & CLIENT_CERT_SESS != 0
    }

    /// Returns whether a certificate was shown, at least in this session, and verified.
    pub fn is_verified(&self) -> bool {
        (self.has_certificate() || self.has_session_certificate()) && self.verify == 0
    }

    /// Parses the value. Returns `None` if it is malformed.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let (head, subs) = value.split_first_chunk::<5>()?;
        let mut ssl = Ssl {
            client: head[0],
            verify: u32::from_be_bytes([head[1], head[2], head[3], head[4]]),
            ..Ssl::default()
        };
        for item in tlv::items(subs) {
            let (kind, value) = item.ok()?;
            match (ssl.text(kind), str::from_utf8(value)) {
                (Some(text @ None), Ok(value)) => *text = Some(value.to_owned()),
                _ => ssl.other.push((kind, value.to_vec())),
            }
        }
        Some(ssl)
    }

    fn text(&mut self, kind: u8) -> Option<&mut Option<String>> {
        Some(match kind {
            0x21 => &mut self.version,
            0x22 => &mut self.common_name,
            0x23 => &mut self.cipher,
            0x24 => &mut self.signature_algorithm,
            0x25 => &mut self.key_algorithm,
            _ => return None,
        })
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut value = vec![self.client];
        value.extend(self.verify.to_be_bytes());
        let texts = [
            &self.version,
            &self.common_name,
            &self.cipher,
            &self.signature_algorithm,
            &self.key_algorithm,
        ];
        for (kind, text) in (0x21..).zip(texts) {
            if let Some(text) = text {
                tlv::put(&mut value, kind, text.as_bytes())?;
            }
        }
        for (kind, bytes) in &self.other {
            tlv::put(&mut value, *kind, bytes)?;
        }
        Ok(value)
    }
}
