//! Files that change while connections are made.

use super::{
    places::{connect, in_time, name},
    tls::{Upstream, read},
};
use crate::{support::beside, tls::pki::Ca};
use reagent_layers::connect::TlsClient;
use std::{fs, sync::Arc, time::Duration};
use tokio::sync::mpsc;

#[tokio::test]
async fn a_reload_takes_effect_as_a_whole_or_not_at_all() {
    let ca = Ca::new("ca");
    let made = ca.server(&["upstream.test"]);
    let upstream =
        Upstream::start_with(ca, made, |ca, layer| layer.request_client_certificates(ca)).await;
    let port = upstream.port();
    let (cert, key) = upstream.ca.client("alice").write(&upstream.dir, "client");
    let tls = upstream
        .trusting()
        .certificate(&cert, &key)
        .build()
        .unwrap();
    let connector = upstream.connector(tls.clone());
    let subject = async || read(connect(&connector, name(port)).await.unwrap()).await;
    assert!(subject().await.ends_with("CN=alice"));

    let bob = upstream.ca.client("bob");
    fs::write(&cert, &bob.pem).unwrap();
    let error = tls.reload().await.unwrap_err();
    assert!(error.to_string().contains("does not belong"), "{error}");
    assert!(
        subject().await.ends_with("CN=alice"),
        "the last good ones are kept"
    );
    fs::write(&key, bob.key.serialize_pem()).unwrap();
    tls.reload().await.unwrap();
    assert!(subject().await.ends_with("CN=bob"));

    // A session is not resumed under authorities that would not be trusted.
    fs::write(&upstream.authorities, Ca::new("other").pem()).unwrap();
    tls.reload().await.unwrap();
    connect(&connector, name(port)).await.unwrap_err();
}

#[tokio::test]
async fn changes_are_noticed_and_reported_once() {
    let upstream = Upstream::start(&["upstream.test"]).await;
    let tls = upstream.trusting().build().unwrap();
    let connector = upstream.connector(tls.clone());
    let (report, mut reports) = mpsc::unbounded_channel();
    let watching = beside(tls.watch(Duration::from_millis(5), move |result| {
        let _ = report.send(result.as_ref().map(drop).map_err(Arc::clone));
    }));
    fs::write(&upstream.authorities, "no certificate").unwrap();
    assert!(in_time(reports.recv()).await.unwrap().is_err());
    let io = connect(&connector, name(upstream.port())).await.unwrap();
    read(io).await;
    fs::write(&upstream.authorities, upstream.ca.pem()).unwrap();
    assert!(in_time(reports.recv()).await.unwrap().is_ok());
    assert!(reports.try_recv().is_err());
    drop(connector);
    in_time(watching).await.unwrap();
}

#[tokio::test]
async fn a_configuration_has_nothing_to_reload() {
    let config = Ca::new("ca").believer(crate::tls::pki::BOTH);
    let tls = TlsClient::from_config(Arc::new(config));
    assert!(tls.reload().await.is_ok());
    in_time(tls.watch(Duration::from_millis(1), |_| ())).await;
}
