//! The spans, events and metrics of handshakes.

use super::{
    pki::{BOTH, Ca, Dir, EACH},
    running::{close, connect},
};
use crate::{
    capture::{Capture, field},
    metrics::Page,
    support::{echo, echoes, until},
};
use reagent::{
    Server, ServerHandle, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{
    tls::{HandshakeErrorKind, TlsBuilder, TlsLayer},
    trace::{TraceLayer, TraceObserver},
};
use std::{sync::Arc, time::UNIX_EPOCH};
use tokio::io::AsyncWriteExt;
use tracing::Level;

fn layer(dir: &Dir, ca: &Ca) -> TlsBuilder {
    let (cert, key) = ca.server(&["localhost"]).write(dir, "localhost");
    TlsLayer::builder()
        .certificate_for("localhost", cert, key)
        .alpn(["h2"])
}

async fn start(page: &mut Option<Page>, layer: TlsLayer) -> (ServerHandle, Clients) {
    let (new, metrics) = Page::new();
    *page = Some(new);
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .observe(TraceObserver::new())
        .observe(metrics)
        .layer(TraceLayer::new())
        .layer(layer)
        .start(handle(echo));
    (server.await.unwrap(), clients)
}

#[tokio::test]
async fn the_span_and_the_end_event_say_what_was_agreed_on() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (_server, clients) = start(&mut None, layer(&dir, &ca).build().unwrap()).await;
    for (version, (told, cipher)) in EACH.into_iter().zip([
        ("1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
        ("1.3", "TLS_AES_256_GCM_SHA384"),
    ]) {
        let before = capture.closed().len();
        let mut config = ca.believer(&[version]);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let mut client = connect(&clients, &Arc::new(config), "localhost")
            .await
            .unwrap();
        assert!(echoes(&mut client, "hello").await);
        close(client).await;
        until("the end", || capture.closed().len() > before).await;
        let ends = capture.named("connection ended");
        for fields in [&capture.closed()[before], &ends.last().unwrap().fields] {
            for (name, value) in [
                ("tls.protocol.version", told),
                ("tls.cipher", cipher),
                ("tls.next_protocol", "h2"),
                ("server.address", "localhost"),
                ("outcome", "completed"),
            ] {
                assert_eq!(field(fields, name), Some(value), "{name}");
            }
            assert_eq!(field(fields, "labels"), None);
            assert_eq!(field(fields, "error.type"), None);
        }
    }
}

#[tokio::test]
async fn a_failed_handshake_is_reported_with_its_kind() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    dir.write("ca.pem", ca.pem());
    let layer = layer(&dir, &ca).require_client_certificates(dir.path("ca.pem"));
    let mut page = None;
    let (server, clients) = start(&mut page, layer.build().unwrap()).await;
    let page = page.unwrap();
    let trusting = |ca: &Ca, protocol: &str| {
        let mut config = ca.believer(BOTH);
        config.alpn_protocols = vec![protocol.into()];
        Arc::new(config)
    };
    let (stranger, other) = (Ca::new("other"), Ca::new("other"));
    let cases = [
        (HandshakeErrorKind::NotTls, None),
        (
            HandshakeErrorKind::UnknownName,
            Some((trusting(&ca, "h2"), "elsewhere")),
        ),
        (
            HandshakeErrorKind::NoCommonProtocol,
            Some((trusting(&ca, "smtp"), "localhost")),
        ),
        (
            HandshakeErrorKind::BadClientCertificate,
            Some((trusting(&ca, "h2"), "localhost")),
        ),
        (
            HandshakeErrorKind::BadClientCertificate,
            Some((
                Arc::new(ca.believer_with(&stranger.client("mallory"), &[EACH[0]])),
                "localhost",
            )),
        ),
        (
            HandshakeErrorKind::ClientRefused,
            Some((trusting(&other, "h2"), "localhost")),
        ),
    ];
    for (number, (kind, client)) in (1..).zip(&cases) {
        match client {
            None => {
                let mut client = clients.connect().await.unwrap();
                client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            }
            // With TLS 1.3, the client may complete its handshake before the server has checked the
            // certificate.
            Some((config, name)) => drop(connect(&clients, config, name).await),
        }
        until("the end", || server.stats().failed == number).await;
        until("the span", || capture.closed().len() as u64 == number).await;
        let ends = capture.named("connection ended");
        for fields in [
            capture.closed().last().unwrap(),
            &ends.last().unwrap().fields,
        ] {
            assert_eq!(field(fields, "outcome"), Some("failed"), "{kind:?}");
            assert_eq!(field(fields, "error.type"), Some(kind.as_str()));
        }
        let same = cases[..number as usize]
            .iter()
            .filter(|case| case.0 == *kind);
        assert_eq!(
            page.value(
                "reagent_connections_failed_total",
                ("reason", kind.as_str())
            ),
            same.count() as f64
        );
    }
}

#[tokio::test]
async fn certificates_and_their_reloads_are_measured() {
    let (page, metrics) = Page::new();
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let made = ca.server(&["localhost"]);
    let (cert, key) = made.write(&dir, "localhost");
    let layer = TlsLayer::builder()
        .certificate(&cert, &key)
        .certificate_for("localhost", &cert, &key)
        .build()
        .unwrap();
    let counting = metrics.clone();
    let reloader = layer
        .reloader()
        .on_reload(move |result| counting.certificates_reloaded(result.is_ok()));
    reloader.reload().await.unwrap();
    dir.write("localhost.key", "no key");
    reloader.reload().await.unwrap_err();
    reloader.reload().await.unwrap_err();
    let reloads = "reagent_tls_certificate_reloads_total";
    assert_eq!(page.value(reloads, ("result", "success")), 1.0);
    assert_eq!(page.value(reloads, ("result", "failure")), 2.0);

    for certificate in reloader.certificates() {
        let not_after = certificate.not_after.unwrap();
        metrics.set_certificate_expiry(certificate.name.as_deref(), not_after);
        let seconds = not_after.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let name = certificate.name.as_deref().unwrap_or("default");
        let expiry = "reagent_tls_certificate_expiry_timestamp_seconds";
        assert_eq!(page.value(expiry, ("name", name)), seconds);
    }
    assert_eq!(reloader.certificates().len(), 2);
}
