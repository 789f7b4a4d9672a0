//! The choice of a certificate by server name.

use super::{
    pki::{BOTH, Ca, Dir, EACH},
    running::{Running, close},
};
use reagent_layers::tls::{HandshakeErrorKind, TlsBuilder, TlsConfigError, TlsLayer, rustls};
use rustls::{AlertDescription, pki_types::CertificateDer};
use std::{io, sync::Arc};

/// Certificates for an exact name, for a wildcard and for all other names. Each is valid for all
/// names in the tests, so that only the server decides.
struct Names {
    dir: Dir,
    ca: Ca,
    exact: CertificateDer<'static>,
    wildcard: CertificateDer<'static>,
    default: CertificateDer<'static>,
}

const ALL: &[&str] = &[
    "a.example.org",
    "*.example.org",
    "x.a.example.org",
    "example.org",
    "other.test",
];

impl Names {
    fn new() -> Self {
        let (dir, ca) = (Dir::new(), Ca::new("ca"));
        let make = |name: &str| {
            let made = ca.server(ALL);
            made.write(&dir, name);
            made.cert
        };
        Names {
            exact: make("exact"),
            wildcard: make("wildcard"),
            default: make("default"),
            dir,
            ca,
        }
    }

    fn builder(&self) -> TlsBuilder {
        let file = |name: &str| self.dir.path(name);
        TlsLayer::builder()
            .certificate_for("A.Example.org", file("exact.pem"), file("exact.key"))
            .certificate_for("*.example.org", file("wildcard.pem"), file("wildcard.key"))
    }
}

#[tokio::test]
async fn an_exact_name_goes_before_a_wildcard_and_that_before_the_default() {
    let names = Names::new();
    let (cert, key) = (names.dir.path("default.pem"), names.dir.path("default.key"));
    let running = Running::new(names.builder().certificate(cert, key).build().unwrap()).await;
    for version in EACH {
        let config = Arc::new(names.ca.believer(&[version]));
        for (name, expected) in [
            ("a.example.org", &names.exact),
            ("A.EXAMPLE.ORG", &names.exact),
            ("b.example.org", &names.wildcard),
            ("x.a.example.org", &names.default),
            ("example.org", &names.default),
            ("other.test", &names.default),
        ] {
            let client = running.connect(&config, name).await.unwrap();
            let got = &client.get_ref().1.peer_certificates().unwrap()[0];
            assert!(got == expected, "{name}");
            close(client).await;
        }
    }
}

fn alert(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

#[tokio::test]
async fn without_a_default_an_unknown_name_is_refused_by_alert() {
    let names = Names::new();
    let mut running = Running::new(names.builder().build().unwrap()).await;
    for version in EACH {
        let config = Arc::new(names.ca.believer(&[version]));
        for name in ["example.org", "x.a.example.org", "other.test"] {
            let error = running.connect(&config, name).await.unwrap_err();
            let expected = rustls::Error::AlertReceived(AlertDescription::UnrecognisedName);
            assert_eq!(alert(&error), Some(&expected));
            assert_eq!(running.failure().await, HandshakeErrorKind::UnknownName);
        }
    }
    let mut config = names.ca.believer(BOTH);
    config.enable_sni = false;
    let error = running
        .connect(&Arc::new(config), "b.example.org")
        .await
        .unwrap_err();
    let expected = rustls::Error::AlertReceived(AlertDescription::MissingExtension);
    assert_eq!(alert(&error), Some(&expected));
    assert_eq!(running.failure().await, HandshakeErrorKind::UnknownName);
}

#[test]
fn names_that_are_invalid_or_not_in_the_certificate_are_refused() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (cert, key) = ca.server(&["example.org"]).write(&dir, "server");
    let build = |name: &str| {
        TlsLayer::builder()
            .certificate_for(name, &cert, &key)
            .build()
            .map(drop)
    };
    build("example.org").unwrap();
    build("example.org.").unwrap();
    for name in ["", "*", "*.", "a..", "a b", "*.*.org", "a.*.org", "**.org"] {
        assert!(
            matches!(build(name), Err(TlsConfigError::Name { .. })),
            "{name}"
        );
    }
    for name in ["example.com", "*.example.org"] {
        let error = build(name).unwrap_err();
        let expected = format!(
            "the certificate in {} is not valid for {name}",
            cert.display()
        );
        assert_eq!(error.to_string(), expected);
    }
}
