//! OCSP responses that are stapled to certificates.

use super::{
    der::encode,
    pki::{BOTH, Ca, Dir, Made},
    running::{Running, in_full},
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
use x509_parser::prelude::{FromDer, X509Certificate};

/// The tags of the status of a certificate.
const GOOD: &[u8] = &[0x80, 0];
const REVOKED: &[u8] = b"\xa1\x11\x18\x0f20200101000000Z";
const UNKNOWN: &[u8] = &[0x82, 0];

/// A year in which a response is no longer valid, and one in which it is.
const PAST: &str = "2020";
const FUTURE: &str = "2100";

/// A response about a certificate, with this text as its signature.
fn response_with(made: &Made, status: &[u8], until: Option<&str>, text: &str) -> Vec<u8> {
    let time = |year: &str| encode(0x18, format!("{year}0101000000Z").as_bytes());
    let until = until.map(|year| encode(0xa0, &time(year)));
    let sequence = |parts: &[&[u8]]| encode(0x30, &parts.concat());
    let (_, certificate) = X509Certificate::from_der(&made.cert).unwrap();
    let sha1 = sequence(&[&[6, 5, 0x2b, 0x0e, 3, 2, 0x1a]]);
    let hash = encode(4, &[1; 20]);
    let serial = encode(2, certificate.raw_serial());
    let id = sequence(&[&sha1, &hash, &hash, &serial]);
    let single = sequence(&[&id, status, &time("2019"), &until.unwrap_or_default()]);
    let responder = encode(0xa2, &hash);
    let data = sequence(&[&responder, &time("2019"), &sequence(&[&single])]);
    let signature = encode(3, &[&[0], text.as_bytes()].concat());
    let basic = encode(4, &sequence(&[&data, &sha1, &signature]));
    let kind = [6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
    let bytes = encode(0xa0, &sequence(&[&kind, &basic]));
    sequence(&[&[10, 1, 0], &bytes])
}

fn response(made: &Made, text: &str) -> Vec<u8> {
    response_with(made, GOOD, Some(FUTURE), text)
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
    let localhost = ca.server(&["localhost"]);
    let of_localhost = |text: &str| response(&localhost, text);
    let (cert, key) = localhost.write(&dir, "localhost");
    let api_made = ca.server(&["api.example.org"]);
    let (api, api_key) = api_made.write(&dir, "api");
    let first = dir.write("first.der", of_localhost("first"));
    let layer = TlsLayer::builder()
        .certificate_for("api.example.org", api, api_key)
        .ocsp_response(dir.write("second.der", response(&api_made, "second")))
        .certificate(cert, key)
        .ocsp_response(&first)
        .build()
        .unwrap();
    let reloader = layer.reloader();
    let running = Running::new(layer).await;
    let config = ca.believer(BOTH);
    let of_default = stapled(&running, &config, "localhost").await;
    assert_eq!(of_default, of_localhost("first"));
    let of_api = stapled(&running, &config, "api.example.org").await;
    assert_eq!(of_api, response(&api_made, "second"));

    // Cut short, unsuccessful, empty, two of them: the last good one is kept.
    let (new, twice) = (of_localhost("new"), of_localhost("new").repeat(2));
    for damaged in [&new[..3], b"\x30\x03\x0a\x01\x06", b"", &twice] {
        fs::write(&first, damaged).unwrap();
        let error = reloader.reload().await.unwrap_err();
        let is_named = matches!(*error, TlsConfigError::OcspResponse { .. });
        assert!(is_named, "{error}");
        let kept = stapled(&running, &config, "localhost").await;
        assert_eq!(kept, of_localhost("first"));
    }
    fs::remove_file(&first).unwrap();
    let error = reloader.reload().await.unwrap_err();
    assert!(matches!(*error, TlsConfigError::Read { .. }), "{error}");

    fs::write(&first, &new).unwrap();
    reloader.reload().await.unwrap();
    let of_default = stapled(&running, &config, "localhost").await;
    assert_eq!(of_default, new);
}

#[test]
fn a_response_that_clients_would_refuse_is_an_error() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (own, other) = (ca.server(&["localhost"]), ca.server(&["localhost"]));
    let (cert, key) = own.write(&dir, "localhost");
    let build = |response: &[u8]| {
        let layer = TlsLayer::builder().certificate(&cert, &key);
        layer
            .ocsp_response(dir.write("staple.der", response))
            .build()
    };
    for (response, expected) in [
        (response(&other, ""), "it is for another certificate"),
        (
            response_with(&own, REVOKED, Some(FUTURE), ""),
            "the certificate was revoked",
        ),
        (
            response_with(&own, UNKNOWN, Some(FUTURE), ""),
            "it does not know the status",
        ),
        (
            own.pem.clone().into_bytes(),
            "expected a successful response in DER",
        ),
    ] {
        let said = in_full(&build(&response).unwrap_err());
        let begin = format!(
            "cannot staple the OCSP response in {}: ",
            dir.path("staple.der").display()
        );
        assert_eq!(
            said.strip_prefix(&begin)
                .map(|why| why.starts_with(expected)),
            Some(true),
            "{said}"
        );
    }
    let served = |until| {
        let layer = build(&response_with(&own, GOOD, until, "")).unwrap();
        layer.reloader().certificates()[0].ocsp_next_update
    };
    assert_eq!(served(None), None);
    let until = served(Some(FUTURE)).unwrap();
    assert!(until > std::time::SystemTime::now());
}

#[tokio::test]
async fn a_response_that_has_expired_is_not_sent() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let own = ca.server(&["localhost"]);
    let (cert, key) = own.write(&dir, "localhost");
    let staple = dir.write("staple.der", response_with(&own, GOOD, Some(PAST), ""));
    let layer = TlsLayer::builder().certificate(cert, key);
    let layer = layer.ocsp_response(&staple).build().unwrap();
    let reloader = layer.reloader();
    let until = reloader.certificates()[0].ocsp_next_update.unwrap();
    assert!(until < std::time::SystemTime::now());
    let running = Running::new(layer).await;
    let config = ca.believer(BOTH);
    assert!(stapled(&running, &config, "localhost").await.is_empty());

    let current = response(&own, "");
    dir.write("staple.der", &current);
    reloader.reload().await.unwrap();
    assert_eq!(stapled(&running, &config, "localhost").await, current);
}

#[test]
fn no_bytes_make_a_check_panic() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let made = ca.server(&["localhost"]);
    let (cert, key) = made.write(&dir, "localhost");
    let whole = response(&made, "text");
    let builder = TlsLayer::builder().certificate(cert, key);
    let builder = builder.ocsp_response(dir.write("staple.der", &whole));
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= flip;
            dir.write("staple.der", damaged);
            let _ = builder.clone().build();
        }
        dir.write("staple.der", &whole[..at]);
        builder.clone().build().unwrap_err();
    }
}
