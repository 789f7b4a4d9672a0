//! Client certificates: not requested, optional, required.

use super::{
    pki::{BOTH, Ca, Dir, EACH},
    running::{Running, close},
};
use crate::support::echoes;
use rcgen::{DnType, SanType};
use reagent::Outcome;
use reagent_layers::tls::{HandshakeErrorKind, IDENTITY, PeerName, TlsBuilder, TlsInfo, TlsLayer};
use std::{sync::Arc, time::Duration};

fn builder(dir: &Dir, ca: &Ca) -> TlsBuilder {
    let (cert, key) = ca.server(&["localhost"]).write(dir, "localhost");
    dir.write("ca.pem", ca.pem());
    TlsLayer::builder().certificate(cert, key)
}

#[tokio::test]
async fn clients_that_are_not_asked_send_no_certificate() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let mut running = Running::new(builder(&dir, &ca).build().unwrap()).await;
    let config = Arc::new(ca.believer_with(&ca.client("alice"), BOTH));
    let _client = running.connect(&config, "localhost").await.unwrap();
    assert_eq!(running.seen().await.tls.peer_certificates().len(), 0);
}

#[tokio::test]
async fn a_valid_certificate_is_reported_and_requested_every_time() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let builder = builder(&dir, &ca).session_lifetime(Duration::from_secs(3600));
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
            for _ in 0..2 {
                let mut client = running.connect(&config, "localhost").await.unwrap();
                assert!(echoes(&mut client, "hello").await);
                let tls = running.seen().await.tls;
                // A resumed session would outlive its certificate.
                assert!(!tls.is_resumed());
                assert_eq!(tls.peer_certificates(), std::slice::from_ref(&alice.cert));
                assert_eq!(tls.peer_subject(), Some("CN=alice"));
                close(client).await;
            }
        }
    }
}

#[tokio::test]
async fn two_subjects_are_never_written_alike_and_names_have_a_type() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let builder = builder(&dir, &ca).require_client_certificates(dir.path("ca.pem"));
    let mut running = Running::new(builder.build().unwrap()).await;
    let two = ca.client_with(|params| {
        let subject = &mut params.distinguished_name;
        subject.push(DnType::CommonName, "alice");
        subject.push(DnType::OrganizationName, "Admins");
        params.subject_alt_names = vec![
            SanType::DnsName("alice.example.org".try_into().unwrap()),
            SanType::URI("spiffe://example.org/alice".try_into().unwrap()),
            SanType::Rfc822Name("alice@example.org".try_into().unwrap()),
            SanType::IpAddress([192, 0, 2, 1].into()),
        ];
    });
    let one = ca.client_with(|params| {
        let subject = &mut params.distinguished_name;
        subject.push(DnType::CommonName, "alice,O=Admins");
    });
    for (made, subject) in [(&two, r"O=Admins,CN=alice"), (&one, r"CN=alice\,O=Admins")] {
        let config = Arc::new(ca.believer_with(made, BOTH));
        let _client = running.connect(&config, "localhost").await.unwrap();
        let tls = running.seen().await.tls;
        assert_eq!(tls.peer_subject(), Some(subject));
        let expected = match subject.contains('\\') {
            true => vec![],
            false => vec![
                PeerName::Dns("alice.example.org".into()),
                PeerName::Uri("spiffe://example.org/alice".into()),
                PeerName::Email("alice@example.org".into()),
                PeerName::Ip([192, 0, 2, 1].into()),
            ],
        };
        assert_eq!(tls.peer_names(), expected);
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

        // With TLS 1.3, the client completes its handshake before the server has checked the
        // certificate.
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
    // A server certificate of the right authority is not a client certificate.
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
        reloader.reload().await.unwrap();
        let config = Arc::new(ca.believer_with(&ca.client("alice"), &[version]));
        for _ in 0..2 {
            let mut client = running.connect(&config, "localhost").await.unwrap();
            assert!(echoes(&mut client, "hello").await);
            assert!(!running.seen().await.tls.is_resumed());
            close(client).await;
            running.end().await;
        }
        dir.write("ca.pem", Ca::new("new").pem());
        reloader.reload().await.unwrap();
        if let Ok(mut client) = running.connect(&config, "localhost").await {
            assert!(!echoes(&mut client, "hello").await);
        }
        let kind = running.failure().await;
        assert_eq!(kind, HandshakeErrorKind::BadClientCertificate);
    }
}

#[tokio::test]
async fn a_client_is_admitted_by_its_identity() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let layer = builder(&dir, &ca).require_client_certificates(dir.path("ca.pem"));
    let is_billing = |tls: &TlsInfo| tls.spiffe_id() == Some("spiffe://example.org/billing");
    let mut running = Running::new(layer.build().unwrap().admit(is_billing)).await;
    let svid = |uris: &[&str]| {
        ca.client_with(|params| {
            let uris = uris
                .iter()
                .map(|uri| SanType::URI((*uri).try_into().unwrap()));
            params.subject_alt_names = uris.collect();
        })
    };
    let (right, other) = ("spiffe://example.org/billing", "spiffe://example.org/web");
    for version in EACH {
        let config = Arc::new(ca.believer_with(&svid(&[right]), &[version]));
        let mut client = running.connect(&config, "localhost").await.unwrap();
        assert!(echoes(&mut client, "hello").await);
        close(client).await;
        assert!(matches!(running.end().await, Outcome::Completed));
        for uris in [
            &[other][..],
            &[],
            &[right, other],
            &["SPIFFE://example.org/billing"],
            &["spiffe://"],
            &["https://example.org/billing"],
        ] {
            let config = Arc::new(ca.believer_with(&svid(uris), &[version]));
            if let Ok(mut client) = running.connect(&config, "localhost").await {
                assert!(!echoes(&mut client, "hello").await, "{uris:?}");
            }
            let outcome = running.end().await;
            let is_refused = matches!(&outcome, Outcome::Rejected(why) if why.reason() == IDENTITY);
            assert!(is_refused, "{uris:?}: {outcome}");
        }
    }
}
