//! Plaintext that an attacker appends to a request of the client.

use super::{GSSENC_REQUEST, SSL_REQUEST, STARTUP, Site, answer};
use reagent::Outcome;
use reagent_layers::{
    starttls::INJECTED,
    tls::{HandshakeError, HandshakeErrorKind},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(start_paused = true)]
async fn plaintext_behind_a_request_is_refused() {
    let mut site = Site::new(|layer| layer.allow_plaintext(true)).await;
    let cases = [
        [SSL_REQUEST, STARTUP],
        [SSL_REQUEST, b"\0"],
        [SSL_REQUEST, SSL_REQUEST],
        [GSSENC_REQUEST, STARTUP],
        [GSSENC_REQUEST, SSL_REQUEST],
    ];
    for (id, case) in (1..).zip(cases) {
        let mut client = site.client().await;
        client.write_all(&case.concat()).await.unwrap();
        let mut response = Vec::new();
        let _ = client.read_to_end(&mut response).await;
        assert!(response.is_empty(), "{}", response.escape_ascii());
        assert_eq!(site.rejection(id).await, INJECTED);
    }
    assert!(site.is_unreached());
}

#[tokio::test(start_paused = true)]
async fn plaintext_that_arrives_after_the_answer_fails_the_handshake() {
    let mut site = Site::new(|layer| layer.allow_plaintext(true)).await;
    let mut client = site.client().await;
    client.write_all(SSL_REQUEST).await.unwrap();
    assert_eq!(answer(&mut client).await, b'S');
    client.write_all(STARTUP).await.unwrap();
    let _ = client.read_to_end(&mut Vec::new()).await;
    let Outcome::Failed(error) = site.ends.of(1).await else {
        panic!("not failed");
    };
    let error = error.downcast_ref::<HandshakeError>().unwrap();
    assert_eq!(error.kind(), HandshakeErrorKind::NotTls);
    assert!(site.is_unreached());
}

#[tokio::test(start_paused = true)]
async fn plaintext_ahead_of_the_clients_own_handshake_spoils_it() {
    let mut site = Site::new(|layer| layer).await;
    let mut client = site.client().await;
    client.write_all(SSL_REQUEST).await.unwrap();
    assert_eq!(answer(&mut client).await, b'S');
    client.write_all(b"Q\0\0\0\x0dSELECT 1\0").await.unwrap();
    assert!(site.handshake(client, &["postgresql"]).await.is_err());
    assert!(site.is_unreached());
}
