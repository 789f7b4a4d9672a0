//! Client certificates that have expired or are invalid.

use super::{
    pki::{Ca, Dir, EACH, Made},
    running::{Running, close, in_full},
};
use crate::support::{LONG, echoes};
use reagent::Outcome;
use reagent_layers::tls::{
    HandshakeError, HandshakeErrorKind, TlsLayer,
    rustls::{
        ClientConfig, SupportedProtocolVersion,
        crypto::ring::sign::any_supported_type,
        sign::{CertifiedKey, SingleCertAndKey},
    },
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::sleep;

async fn start(dir: &Dir, ca: &Ca) -> Running {
    let (cert, key) = ca.server(&["localhost"]).write(dir, "localhost");
    let authorities = dir.write("ca.pem", ca.pem());
    let layer = TlsLayer::builder()
        .certificate(cert, key)
        .session_lifetime(Duration::from_secs(3600))
        .require_client_certificates(authorities);
    Running::new(layer.build().unwrap()).await
}

/// Returns the error of the next connection, which must be refused.
async fn refused(running: &mut Running, config: &Arc<ClientConfig>) -> String {
    // With TLS 1.3, the client completes its handshake before the server has checked the
    // certificate.
    if let Ok(mut client) = running.connect(config, "localhost").await {
        assert!(!echoes(&mut client, "hello").await);
    }
    let Outcome::Failed(error) = running.end().await else {
        panic!("it did not fail")
    };
    let error = error.downcast_ref::<HandshakeError>().expect("a handshake");
    assert_eq!(error.kind(), HandshakeErrorKind::BadClientCertificate);
    in_full(error)
}

/// Creates a certificate that expires, and returns whether the client was admitted before.
async fn expires(
    ca: &Ca,
    running: &mut Running,
    version: &'static SupportedProtocolVersion,
    lifetime: Duration,
) -> Option<Arc<ClientConfig>> {
    let end = SystemTime::now() + lifetime;
    let made = ca.client_with(|params| params.not_after = end.into());
    let config = Arc::new(ca.believer_with(&made, &[version]));
    // Tickets are sent to clients that have sent data.
    let mut is_in = false;
    if let Ok(mut client) = running.connect(&config, "localhost").await {
        is_in = echoes(&mut client, "hello").await;
        if is_in {
            close(client).await;
        }
    }
    running.end().await;
    if !is_in {
        return None;
    }
    sleep(end.duration_since(SystemTime::now()).unwrap_or_default()).await;
    // Certificates have a resolution of one second.
    sleep(Duration::from_secs(1)).await;
    Some(config)
}

#[tokio::test]
async fn expired_clients_are_refused_though_they_have_a_session() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let mut running = start(&dir, &ca).await;
    for version in EACH {
        let mut lifetime = Duration::from_secs(2);
        let config = loop {
            // Retried with a longer lifetime if the machine is slow.
            match expires(&ca, &mut running, version, lifetime).await {
                Some(config) => break config,
                None => lifetime *= 2,
            }
            assert!(lifetime < LONG);
        };
        let said = refused(&mut running, &config).await;
        assert!(said.contains("xpired"), "{said}");
    }
}

#[tokio::test]
async fn a_certificate_of_the_first_version_is_refused_with_what_is_expected() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let mut running = start(&dir, &ca).await;
    let made = ca.client("alice");
    let old = ca.in_version_1(&made);
    for version in EACH {
        let said = refused(&mut running, &Arc::new(shows(&ca, &made, &old, version))).await;
        assert!(said.contains("UnsupportedCertVersion"), "{said}");
        assert!(said.contains("expected X.509 version 3"), "{said}");
    }
    // The certificate is valid otherwise.
    let config = Arc::new(ca.believer_with(&made, &EACH));
    let mut client = running.connect(&config, "localhost").await.unwrap();
    assert!(echoes(&mut client, "hello").await);
}

/// A client that presents this certificate, even if rustls considers it invalid.
fn shows(
    ca: &Ca,
    made: &Made,
    cert: &[u8],
    version: &'static SupportedProtocolVersion,
) -> ClientConfig {
    let key = any_supported_type(&made.key_der()).unwrap();
    let certified = CertifiedKey::new(vec![cert.to_vec().into()], key);
    let mut config = ca.believer(&[version]);
    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
    config
}
