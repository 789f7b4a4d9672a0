//! OCSP responses that are stapled to certificates.

use super::{
    pki::{BOTH, Ca, Dir},
    running::Running,
};
use reagent_layers::tls::{
    TlsConfigError, TlsLayer,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
        client::{
            Resumption,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};
use std::{
    fs, mem,
    sync::{Arc, Mutex},
};

/// A successful response with this text.
fn response(text: &str) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap();
    let inner = [&[10, 1, 0, 4, len][..], text.as_bytes()].concat();
    [&[0x30, len + 5][..], &inner].concat()
}

/// Accepts every certificate, and remembers the response that came with it.
#[derive(Debug, Default)]
struct Remembers(Mutex<Vec<u8>>);

impl ServerCertVerifier for Remembers {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.0.lock().unwrap() = ocsp.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// Returns the response that a client receives for this name.
async fn stapled(running: &Running, config: &ClientConfig, name: &str) -> Vec<u8> {
    let verifier = Arc::new(Remembers::default());
    let mut config = config.clone();
    let mut dangerous = config.dangerous();
    dangerous.set_certificate_verifier(verifier.clone());
    // A resumed session has no certificate.
    config.resumption = Resumption::disabled();
    let _client = running.connect(&Arc::new(config), name).await.unwrap();
    let mut remembered = verifier.0.lock().unwrap();
    mem::take(&mut *remembered)
}

#[tokio::test]
async fn a_response_comes_with_its_certificate_and_is_reloaded_with_it() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (cert, key) = ca.server(&["localhost"]).write(&dir, "localhost");
    let (api, api_key) = ca.server(&["api.example.org"]).write(&dir, "api");
    let first = dir.write("first.der", response("first"));
    let layer = TlsLayer::builder()
        .certificate_for("api.example.org", api, api_key)
        .ocsp_response(dir.write("second.der", response("second")))
        .certificate(cert, key)
        .ocsp_response(&first)
        .build()
        .unwrap();
    let reloader = layer.reloader();
    let running = Running::new(layer).await;
    let config = ca.believer(BOTH);
    let of_default = stapled(&running, &config, "localhost").await;
    assert_eq!(of_default, response("first"));
    let of_api = stapled(&running, &config, "api.example.org").await;
    assert_eq!(of_api, response("second"));

    // Cut short, unsuccessful, empty, two of them: the last good one is kept.
    let (new, twice) = (response("new"), response("new").repeat(2));
    for damaged in [&new[..3], b"\x30\x03\x0a\x01\x06", b"", &twice] {
        fs::write(&first, damaged).unwrap();
        let error = reloader.reload().await.unwrap_err();
        let is_named = matches!(*error, TlsConfigError::OcspResponse { .. });
        assert!(is_named, "{error}");
        let kept = stapled(&running, &config, "localhost").await;
        assert_eq!(kept, response("first"));
    }
    fs::remove_file(&first).unwrap();
    let error = reloader.reload().await.unwrap_err();
    assert!(matches!(*error, TlsConfigError::Read { .. }), "{error}");

    fs::write(&first, &new).unwrap();
    reloader.reload().await.unwrap();
    let of_default = stapled(&running, &config, "localhost").await;
    assert_eq!(of_default, new);
}
