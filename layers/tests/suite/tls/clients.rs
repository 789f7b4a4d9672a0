//! Client certificates: not asked for, wanted, required.

use super::{
    pki::{BOTH, Ca, Dir, EACH},
    running::{Running, close},
};
use crate::support::echoes;
use reagent_layers::tls::{HandshakeErrorKind, TlsBuilder, TlsLayer};
use std::sync::Arc;

fn builder(dir: &Dir, ca: &Ca) -> TlsBuilder {
    let (cert, key) = ca.server(&["localhost"]).write(dir, "localhost");
    dir.write("ca.pem", ca.pem());
    TlsLayer::builder().certificate(cert, key)
}

#[tokio::test]
async fn who_is_not_asked_shows_none() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let mut running = Running::new(builder(&dir, &ca).build().unwrap()).await;
    let config = Arc::new(ca.believer_with(&ca.client("alice"), BOTH));
    let _client = running.connect(&config, "localhost").await.unwrap();
    assert_eq!(running.seen().await.tls.peer_certificates().len(), 0);
}

#[tokio::test]
async fn a_good_certificate_is_told_and_again_when_resumed() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let builder = builder(&dir, &ca);
    let alice = ca.client("alice");
    for layer in [
        builder
            .clone()
            .require_client_certificates(dir.path("ca.pem")),
        builder
            .clone()
            .request_client_certificates(dir.path("ca.pem")),
    ] {
        let mut running = Running::new(layer.build().unwrap()).await;
        for version in EACH {
            let config = Arc::new(ca.believer_with(&alice, &[version]));
            for resumed in [false, true] {
                let mut client = running.connect(&config, "localhost").await.unwrap();
                assert!(echoes(&mut client, "hello").await);
                let tls = running.seen().await.tls;
                assert_eq!(tls.is_resumed(), resumed);
                assert_eq!(tls.peer_certificates(), std::slice::from_ref(&alice.cert));
                assert_eq!(tls.peer_subject(), Some("CN=alice"));
                close(client).await;
            }
        }
    }
}

#[tokio::test]
async fn none_is_enough_only_where_it_is_not_required() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let builder = builder(&dir, &ca);
    let optional = builder
        .clone()
        .request_client_certificates(dir.path("ca.pem"));
    let required = builder.require_client_certificates(dir.path("ca.pem"));
    let mut optional = Running::new(optional.build().unwrap()).await;
    let mut required = Running::new(required.build().unwrap()).await;
    for version in EACH {
        let config = Arc::new(ca.believer(&[version]));
        let mut client = optional.connect(&config, "localhost").await.unwrap();
        assert!(echoes(&mut client, "hello").await);
        assert_eq!(optional.seen().await.tls.peer_subject(), None);

        // With TLS 1.3 the client is done before it is heard what the server thinks of it.
        if let Ok(mut client) = required.connect(&config, "localhost").await {
            assert!(!echoes(&mut client, "hello").await);
        }
        let kind = required.failure().await;
        assert_eq!(kind, HandshakeErrorKind::BadClientCertificate);
    }
}

#[tokio::test]
async fn a_bad_one_is_never_enough() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let builder = builder(&dir, &ca);
    let stranger = Ca::new("ca").client("alice");
    // A server's certificate of the right authority is not a client's.
    let mallory = {
        let other = Ca::new("other");
        other.client("mallory")
    };
    for layer in [
        builder
            .clone()
            .request_client_certificates(dir.path("ca.pem")),
        builder
            .clone()
            .require_client_certificates(dir.path("ca.pem")),
    ] {
        let mut running = Running::new(layer.build().unwrap()).await;
        for (version, made) in EACH.into_iter().zip([&stranger, &mallory]) {
            let config = Arc::new(ca.believer_with(made, &[version]));
            if let Ok(mut client) = running.connect(&config, "localhost").await {
                assert!(!echoes(&mut client, "hello").await);
            }
            let kind = running.failure().await;
            assert_eq!(kind, HandshakeErrorKind::BadClientCertificate);
        }
    }
}

#[tokio::test]
async fn sessions_do_not_outlive_the_authority_that_vouched_for_them() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let builder = builder(&dir, &ca).require_client_certificates(dir.path("ca.pem"));
    let layer = builder.build().unwrap();
    let reloader = layer.reloader();
    let mut running = Running::new(layer).await;
    for version in EACH {
        dir.write("ca.pem", ca.pem());
        reloader.reload().unwrap();
        let config = Arc::new(ca.believer_with(&ca.client("alice"), &[version]));
        for resumed in [false, true] {
            let mut client = running.connect(&config, "localhost").await.unwrap();
            assert!(echoes(&mut client, "hello").await);
            assert_eq!(running.seen().await.tls.is_resumed(), resumed);
            close(client).await;
            running.end().await;
        }
        dir.write("ca.pem", Ca::new("new").pem());
        reloader.reload().unwrap();
        if let Ok(mut client) = running.connect(&config, "localhost").await {
            assert!(!echoes(&mut client, "hello").await);
        }
        let kind = running.failure().await;
        assert_eq!(kind, HandshakeErrorKind::BadClientCertificate);
    }
}
