//! The choice of a cryptography provider, and what tickets need of it.

use super::TlsConfigError;
use std::sync::Arc;
use tokio_rustls::rustls::{
    CipherSuite, SupportedCipherSuite,
    crypto::{CryptoProvider, SecureRandom, cipher::AeadKey, tls13::Hkdf},
    quic::{Algorithm, Tag},
};

pub(super) const SECRET_LEN: usize = 32;
pub(super) const NONCE_LEN: usize = 12;
pub(super) const TAG_LEN: usize = 16;

/// The suites whose algorithm can encrypt tickets, the best first. Both have keys of 32 bytes.
const SUITES: [CipherSuite; 2] = [
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
];

/// Returns the provider that the process has installed, or else the one that is compiled in.
pub(crate) fn default_provider() -> Result<Arc<CryptoProvider>, TlsConfigError> {
    if let Some(provider) = CryptoProvider::get_default() {
        return Ok(provider.clone());
    }
    #[cfg(feature = "tls")]
    return Ok(Arc::new(
        tokio_rustls::rustls::crypto::ring::default_provider(),
    ));
    #[cfg(not(feature = "tls"))]
    Err(TlsConfigError::NoProvider)
}

/// An authenticated cipher, a function that derives its keys, and a source of random numbers.
///
/// A provider has no interface for a cipher alone. That for packets of QUIC (RFC 9001, section 5.3)
/// comes closest: for packet 0, the nonce is the IV, and the header is authenticated as it is.
#[derive(Clone, Copy)]
pub(super) struct Aead {
    algorithm: &'static dyn Algorithm,
    hkdf: &'static dyn Hkdf,
    random: &'static dyn SecureRandom,
}

impl Aead {
    /// Returns `None` if the provider has no suitable cipher.
    pub(super) fn of(provider: &CryptoProvider) -> Option<Self> {
        let algorithm_of = |wanted: &CipherSuite| {
            let mut suites = provider.cipher_suites.iter();
            suites.find_map(|suite| match suite {
                SupportedCipherSuite::Tls13(suite) if suite.common.suite == *wanted => {
                    Some((suite.quic?, suite.hkdf_provider))
                }
                _ => None,
            })
        };
        let (algorithm, hkdf) = SUITES.iter().find_map(algorithm_of)?;
        (algorithm.aead_key_len() == SECRET_LEN).then_some(Aead {
            algorithm,
            hkdf,
            random: provider.secure_random,
        })
    }

    /// Fills `bytes` with random numbers. Returns `None` if the system has none.
    pub(super) fn fill(&self, bytes: &mut [u8]) -> Option<()> {
        self.random.fill(bytes).ok()
    }

    pub(super) fn random<const N: usize>(&self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Some(bytes)
    }

    /// Fills `derived` with bytes that depend on `secret` and `info` (RFC 5869). Returns `None` if
    /// that is more than the function can derive.
    pub(super) fn derive(&self, secret: &[u8], info: &[&[u8]], derived: &mut [u8]) -> Option<()> {
        let expander = self.hkdf.extract_from_secret(None, secret);
        expander.expand_slice(info, derived).ok()
    }

    /// Encrypts `bytes` and returns their tag.
    pub(super) fn seal(
        &self,
        secret: &[u8; SECRET_LEN],
        nonce: [u8; NONCE_LEN],
        authenticated: &[u8],
        bytes: &mut [u8],
    ) -> Option<Tag> {
        let key = self
            .algorithm
            .packet_key(AeadKey::from(*secret), nonce.into());
        key.encrypt_in_place(0, authenticated, bytes).ok()
    }

    /// Decrypts `bytes`, which end with a tag, and returns the length of the plaintext.
    pub(super) fn open(
        &self,
        secret: &[u8; SECRET_LEN],
        nonce: [u8; NONCE_LEN],
        authenticated: &[u8],
        bytes: &mut [u8],
    ) -> Option<usize> {
        if bytes.len() < TAG_LEN {
            return None;
        }
        let key = self
            .algorithm
            .packet_key(AeadKey::from(*secret), nonce.into());
        let plain = key.decrypt_in_place(0, authenticated, bytes).ok()?;
        Some(plain.len())
    }
}
