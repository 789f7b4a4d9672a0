//! Failed handshakes: each ends its connection with an error, and does not affect others.

use super::{
    pki::{BOTH, Ca, Dir},
    running::{Running, close, in_full, localhost},
};
use crate::support::echoes;
use reagent::{Outcome, testing::Clients};
use reagent_layers::tls::{HandshakeErrorKind, TlsConfigError, TlsLayer, rustls};
use std::{fs, path::Path, sync::Arc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Returns the first message of a client.
pub fn hello(ca: &Ca) -> Vec<u8> {
    let name = "localhost".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(ca.believer(BOTH)), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

async fn say(clients: &Clients, bytes: &[u8]) -> Vec<u8> {
    let mut client = clients.connect().await.unwrap();
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    answer
}

/// Checks that the server still serves.
async fn serves(running: &mut Running, ca: &Ca) {
    let config = Arc::new(ca.believer(BOTH));
    let mut client = running.connect(&config, "localhost").await.unwrap();
    assert!(echoes(&mut client, "hello").await);
    close(client).await;
    assert_eq!(running.end().await.to_string(), "completed");
    assert_eq!(running.server.connection_count(), 0);
}

#[tokio::test]
async fn garbage_is_not_tls_and_answered_with_an_alert() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let mut running = Running::new(localhost(&dir, &ca)).await;
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.6\r\n",
        &[0; 100],
        &[0xff; 100_000][..60_000],
    ] {
        let answer = say(&running.clients, garbage).await;
        assert_eq!(answer.first(), Some(&21), "{answer:?}");
        assert_eq!(running.failure().await, HandshakeErrorKind::NotTls);
    }
    serves(&mut running, &ca).await;
}

#[tokio::test]
async fn clients_that_leave_before_or_in_a_handshake_are_reported_as_such() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let mut running = Running::new(localhost(&dir, &ca)).await;
    let hello = hello(&ca);
    for part in [0, 1, 5, hello.len() / 2, hello.len() - 1, hello.len()] {
        say(&running.clients, &hello[..part]).await;
        assert_eq!(running.end().await.to_string(), "disconnected: eof");
    }
    serves(&mut running, &ca).await;
}

#[tokio::test]
async fn a_hello_byte_by_byte_is_a_hello() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let running = Running::new(localhost(&dir, &ca)).await;
    let mut client = running.clients.connect().await.unwrap();
    for byte in hello(&ca) {
        client.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    // The reply is a handshake record.
    assert_eq!(client.read_u8().await.unwrap(), 22);
}

#[tokio::test]
async fn having_nothing_in_common_is_reported_as_such() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (cert, key) = ca.server(&["localhost"]).write(&dir, "localhost");
    let layer = TlsLayer::builder().certificate(cert, key).alpn(["h2"]);
    let mut running = Running::new(layer.build().unwrap()).await;

    // The hello of a client that supports TLS 1.0 and one cipher suite of that time.
    let mut old = vec![22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 1];
    old.extend([7; 32]);
    old.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    let answer = say(&running.clients, &old).await;
    assert_eq!(answer.first(), Some(&21), "{answer:?}");
    let kind = running.failure().await;
    assert_eq!(kind, HandshakeErrorKind::NoCommonVersionOrCipher);

    let mut config = ca.believer(BOTH);
    config.alpn_protocols = vec![b"smtp".to_vec()];
    running
        .connect(&Arc::new(config), "localhost")
        .await
        .unwrap_err();
    assert_eq!(
        running.failure().await,
        HandshakeErrorKind::NoCommonProtocol
    );
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_server_is_reported_as_such() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let mut running = Running::new(localhost(&dir, &ca)).await;
    let stranger = Arc::new(Ca::new("ca").believer(BOTH));
    running.connect(&stranger, "localhost").await.unwrap_err();
    assert_eq!(running.failure().await, HandshakeErrorKind::ClientRefused);
}

#[tokio::test]
async fn an_error_is_for_people() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let mut running = Running::new(localhost(&dir, &ca)).await;
    say(&running.clients, b"GET / HTTP/1.1\r\n\r\n").await;
    let Outcome::Failed(error) = running.end().await else {
        panic!("it did not fail")
    };
    let text = error.to_string();
    assert_eq!(
        text,
        "tls handshake with client:1 failed: the client does not speak TLS"
    );
}

#[test]
fn errors_of_files_name_the_file() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let made = ca.server(&["localhost"]);
    let (cert, key) = made.write(&dir, "server");
    let (_, other) = ca.server(&["localhost"]).write(&dir, "other");
    let error = |cert: &Path, key: &Path| {
        let error = TlsLayer::from_pem_files(cert, key).unwrap_err();
        assert!(!format!("{error:?}").contains(&made.key.serialize_pem()[30..60]));
        in_full(&error)
    };
    let (c, k, o) = (cert.display(), key.display(), other.display());

    let missing = dir.path("missing");
    let said = error(&missing, &key);
    assert!(said.starts_with(&format!("cannot read {}: No such", missing.display())));
    let said = error(&key, &key);
    assert!(
        said.starts_with(&format!("no certificate in {k}:")),
        "{said}"
    );
    let said = error(&cert, &cert);
    assert!(
        said.starts_with(&format!("no private key in {c}:")),
        "{said}"
    );
    let said = error(&cert, &other);
    let expected = format!("the private key in {o} does not belong to the certificate in {c}");
    assert_eq!(said, expected);

    let garbled = fs::read_to_string(&key).unwrap();
    let cut = dir.write("cut", &garbled[..garbled.len() / 2]);
    assert!(
        error(&cert, &cut).contains("section 1 of")
            && error(&cert, &cut).ends_with("line 1: its END mark is missing")
    );
    let not_base64 = dir.write("not-base64", garbled.replacen("MI", "!!", 1));
    assert!(error(&cert, &not_base64).ends_with(", line 1: expected base64"));
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(error(&cert, &dir.write("no-key", no_key)).starts_with("cannot use"));
    let no_cert = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let bad = dir.write("bad-cert", no_cert);
    assert!(error(&bad, &key).contains("bad-cert (section 1, line 1)"));
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(error(&cert, &dir.write("secret", encrypted)).contains("secret is encrypted"));

    let nothing = TlsLayer::builder().build().unwrap_err();
    assert!(matches!(nothing, TlsConfigError::NothingToServe));
    let layer = TlsLayer::builder().certificate(&cert, &key);
    let no_ca = layer.require_client_certificates(&key).build().unwrap_err();
    assert!(matches!(no_ca, TlsConfigError::NoCertificate { path } if path == key));
}
