//! The resolver of a TLS layer, and its challenges.

use crate::tls::{
    pki::{BOTH, Ca, Dir, EACH},
    running::{Running, close},
};
use reagent::Outcome;
use reagent_layers::tls::{
    ACME_CHALLENGE, CertificateResolver, HandshakeErrorKind, ServedCertificate, TlsBuilder,
    TlsLayer,
    rustls::{crypto::ring::sign::any_supported_type, server::ClientHello, sign::CertifiedKey},
};
use std::sync::Arc;
use tokio::io::AsyncReadExt;

/// Resolves one name, and has a challenge for another.
struct Resolver {
    resolved: Arc<CertifiedKey>,
    challenge: Arc<CertifiedKey>,
}

impl CertificateResolver for Resolver {
    fn resolve(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_known = hello.server_name().is_none_or(|name| name == "a.test");
        is_known.then(|| self.resolved.clone())
    }

    fn challenge(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        (name == "b.test").then(|| self.challenge.clone())
    }

    fn certificates(&self) -> Vec<ServedCertificate> {
        let chain = &self.resolved.cert;
        vec![ServedCertificate::new(Some("a.test".to_owned()), chain)]
    }
}

const ALL: &[&str] = &["a.test", "b.test", "c.test"];

impl Resolver {
    fn new(ca: &Ca) -> Self {
        let make = || {
            let made = ca.server(ALL);
            let key = any_supported_type(&made.key_der()).unwrap();
            Arc::new(CertifiedKey::new(vec![made.cert], key))
        };
        Resolver {
            resolved: make(),
            challenge: make(),
        }
    }
}

async fn running(builder: TlsBuilder) -> Running {
    Running::new(builder.build().unwrap()).await
}

#[tokio::test]
async fn a_challenge_is_answered_and_its_connection_never_served() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let authorities = dir.write("ca.pem", ca.pem());
    let resolver = Resolver::new(&ca);
    let expected = resolver.challenge.cert[0].clone();
    let builder = TlsLayer::builder()
        .resolver(resolver)
        .alpn(["h2"])
        // Who validates a name has none.
        .require_client_certificates(authorities);
    let mut running = running(builder).await;
    for version in EACH {
        let mut config = ca.believer(&[version]);
        config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        let config = Arc::new(config);
        let mut client = running.connect(&config, "b.test").await.unwrap();
        let session = client.get_ref().1;
        assert_eq!(session.alpn_protocol(), Some(&b"acme-tls/1"[..]));
        assert_eq!(session.peer_certificates().unwrap()[0], expected);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "an orderly end");
        match running.end().await {
            Outcome::Rejected(rejected) => assert_eq!(rejected.reason(), ACME_CHALLENGE),
            other => panic!("{other:?}"),
        }
        // Without a challenge, such a client is served no more.
        for name in ["a.test", "c.test"] {
            assert!(running.connect(&config, name).await.is_err());
            assert_eq!(running.failure().await, HandshakeErrorKind::UnknownName);
        }
    }
}

#[tokio::test]
async fn a_client_that_offers_other_protocols_too_is_no_challenge() {
    let ca = Ca::new("ca");
    let mut running = running(
        TlsLayer::builder()
            .resolver(Resolver::new(&ca))
            .alpn(["h2"]),
    )
    .await;
    let mut config = ca.believer(BOTH);
    config.alpn_protocols = vec![b"acme-tls/1".to_vec(), b"h2".to_vec()];
    let client = running.connect(&Arc::new(config), "a.test").await.unwrap();
    assert_eq!(running.seen().await.protocol.as_deref(), Some(&b"h2"[..]));
    close(client).await;
}

#[tokio::test]
async fn a_name_goes_before_the_resolver_and_that_before_the_default() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let resolver = Resolver::new(&ca);
    let resolved = resolver.resolved.cert[0].clone();
    let (named, default) = (ca.server(ALL), ca.server(ALL));
    let (named_files, default_files) = (named.write(&dir, "n"), default.write(&dir, "d"));
    let builder = TlsLayer::builder().resolver(resolver);
    let only = running(builder.clone()).await;
    assert!(
        only.connect(&Arc::new(ca.believer(BOTH)), "c.test")
            .await
            .is_err()
    );
    let builder = builder
        .certificate(default_files.0, default_files.1)
        .certificate_for("b.test", named_files.0, named_files.1);
    let layer = builder.build().unwrap();
    let names = layer.reloader().certificates().into_iter();
    let names: Vec<_> = names.map(|served| served.name).collect();
    assert_eq!(
        names,
        [None, Some("b.test".to_owned()), Some("a.test".to_owned())]
    );
    let both = Running::new(layer).await;
    for (name, expected) in [
        ("a.test", resolved),
        ("b.test", named.cert),
        ("c.test", default.cert),
    ] {
        let client = both
            .connect(&Arc::new(ca.believer(BOTH)), name)
            .await
            .unwrap();
        assert_eq!(
            client.get_ref().1.peer_certificates().unwrap()[0],
            expected,
            "{name}"
        );
        close(client).await;
    }
}
