//! Upstreams whose certificates were revoked, or may have been.

use super::{
    places::{connect, name},
    tls::{Upstream, read, reason},
};
use crate::tls::pki::{Ca, Dir};
use reagent::BoxError;
use reagent_layers::{
    connect::{TlsClient, TlsClientErrorKind as Kind},
    tls::{TlsConfigError, rustls::HandshakeKind},
};
use std::fs;

/// Starts an upstream whose certificate has this serial number.
async fn start(ca: Ca, serial: u64) -> Upstream {
    let made = ca.server_with(&["upstream.test"], |params| {
        params.serial_number = Some(serial.into());
    });
    Upstream::start_with(ca, made, |_, layer| layer).await
}

#[tokio::test]
async fn a_revoked_upstream_is_refused_from_the_reload_on() {
    let upstream = start(Ca::new("ca"), 7).await;
    let port = upstream.port();
    let lists = upstream
        .dir
        .write("crl.pem", upstream.ca.revoke(&[8], 2100));
    let tls = upstream.trusting().crls(&lists).build().unwrap();
    let connector = upstream.connector(tls.clone());
    read(connect(&connector, name(port)).await.unwrap()).await;

    fs::write(&lists, upstream.ca.revoke(&[8, 7], 2100)).unwrap();
    tls.reload().await.unwrap();
    let (kind, text) = reason(connect(&connector, name(port)).await);
    assert_eq!((kind, kind.as_str()), (Kind::Revoked, "revoked"));
    let expected = format!(
        "cannot begin TLS with upstream.test:{port}: the certificate of upstream.test was revoked"
    );
    assert!(text.starts_with(&expected), "{text}");

    // The last good list is kept.
    fs::write(&lists, upstream.ca.pem()).unwrap();
    let error = tls.reload().await.unwrap_err();
    assert!(
        matches!(&*error, TlsConfigError::NoRevocationList { path } if *path == lists),
        "{error:?}"
    );
    let (kind, _) = reason(connect(&connector, name(port)).await);
    assert_eq!(kind, Kind::Revoked);
    fs::write(&lists, upstream.ca.revoke(&[], 2100)).unwrap();
    tls.reload().await.unwrap();
    read(connect(&connector, name(port)).await.unwrap()).await;
}

/// As if each new list was appended to the file.
#[tokio::test]
async fn the_newest_list_of_an_authority_counts() {
    let upstream = start(Ca::new("ca"), 7).await;
    let old = upstream.ca.revoke_from(2020, &[], 2021);
    let new = upstream.ca.revoke_from(2022, &[7], 2100);
    for lists in [format!("{old}{new}"), format!("{new}{old}")] {
        let lists = upstream.dir.write("crl.pem", lists);
        let tls = upstream.trusting().crls(&lists).build().unwrap();
        let connected = connect(&upstream.connector(tls), name(upstream.port())).await;
        assert_eq!(reason(connected).0, Kind::Revoked);
    }
}

/// A certificate is not verified again when its session is resumed.
#[tokio::test]
async fn sessions_are_resumed_only_without_lists() {
    let upstream = start(Ca::new("ca"), 7).await;
    let lists = upstream.dir.write("crl.pem", upstream.ca.revoke(&[], 2100));
    let checked = upstream.trusting().crls(&lists).build().unwrap();
    let unchecked = upstream.trusting().build().unwrap();
    for (tls, second) in [
        (unchecked, HandshakeKind::Resumed),
        (checked, HandshakeKind::Full),
    ] {
        let connector = upstream.connector(tls);
        for expected in [HandshakeKind::Full, second] {
            let io = connect(&connector, name(upstream.port())).await.unwrap();
            assert_eq!(io.tls_session().unwrap().handshake_kind(), Some(expected));
            read(io).await;
        }
    }
}

#[tokio::test]
async fn an_upstream_is_refused_while_it_is_unknown_whether_it_was_revoked() {
    let upstream = start(Ca::new("ca"), 7).await;
    let port = upstream.port();
    for (list, words) in [
        (
            upstream.ca.revoke(&[], 2021),
            "the revocation list for the certificate of upstream.test has been out of date for ",
        ),
        (
            Ca::new("other").revoke(&[], 2100),
            "there is no revocation list of an authority that the certificate of upstream.test \
             depends on",
        ),
    ] {
        let lists = upstream.dir.write("crl.pem", list);
        let tls = upstream.trusting().crls(lists).build().unwrap();
        let (kind, text) = reason(connect(&upstream.connector(tls), name(port)).await);
        assert_eq!(kind, Kind::RevocationUnknown);
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn lists_that_cannot_be_used_are_errors_of_the_configuration() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let authorities = dir.write("ca.pem", ca.pem());
    let build = |lists| {
        let builder = TlsClient::builder().authorities(&authorities);
        builder.crls(lists).build().unwrap_err()
    };
    let error = build(dir.path("missing.pem"));
    assert!(matches!(error, TlsConfigError::Read { .. }), "{error:?}");
    let error = build(dir.write(
        "crl.pem",
        "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n",
    ));
    assert!(
        matches!(error, TlsConfigError::RevocationList { .. }),
        "{error:?}"
    );
}

#[cfg(feature = "upstream")]
#[tokio::test]
async fn another_upstream_is_used_instead_of_a_revoked_one() {
    use reagent_layers::upstream::{Balance, Key, Upstreams};

    let ca = Ca::new("ca");
    let lists = ca.revoke(&[7], 2100);
    let good = ca.server_with(&["upstream.test"], |params| {
        params.serial_number = Some(8.into());
    });
    let good = Upstream::start_with(Ca::new("unused"), good, |_, layer| layer).await;
    let revoked = start(ca, 7).await;
    let lists = revoked.dir.write("crl.pem", lists);
    let tls = revoked.trusting().crls(lists).build().unwrap();
    let of = |port| {
        let upstream = reagent_layers::upstream::Upstream::new(format!("port {port}"), port);
        upstream.weight(if port == revoked.port() { 1_000_000 } else { 1 })
    };
    let dial = async |port: u16| {
        let connector = super::places::to([super::places::at(1, port)]).tls(tls.clone());
        connect(&connector, name(port)).await
    };
    let set = Upstreams::builder()
        .balance(Balance::P2c)
        .build([of(revoked.port()), of(good.port())]);
    let connected = set.connect(Key::none(), dial).await.unwrap();
    assert_eq!(connected.guard.name(), format!("port {}", good.port()));
    read(connected.stream).await;

    let alone = Upstreams::builder().build([of(revoked.port())]);
    let error = alone.connect(Key::none(), dial).await.unwrap_err();
    let text = BoxError::from(error).to_string();
    assert!(
        text.contains("the certificate of upstream.test was revoked"),
        "{text}"
    );
}
