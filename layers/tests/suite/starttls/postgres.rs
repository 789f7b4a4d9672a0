//! The negotiation of PostgreSQL.

use super::{CANCEL_REQUEST, GSSENC_REQUEST, SSL_REQUEST, STARTUP, Site, answer, finish};
use crate::tls::running::in_time;
use reagent_layers::starttls::{INVALID, NO_ALPN, NO_TLS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_for_tls_is_encrypted() {
    let mut site = Site::new(|layer| layer).await;
    for alpn in [&[][..], &["postgresql"]] {
        let mut client = site.client().await;
        client.write_all(SSL_REQUEST).await.unwrap();
        assert_eq!(answer(&mut client).await, b'S');
        let client = site.handshake(client, alpn).await.unwrap();
        assert_eq!(finish(client, STARTUP).await, b"done");
        let received = site.received().await;
        assert!(received.is_secure);
        assert_eq!((&*received.began, &*received.bytes), ("requested", STARTUP));
    }
}

#[tokio::test(start_paused = true)]
async fn other_encryption_is_declined_once() {
    let mut site = Site::new(|layer| layer).await;
    let mut client = site.client().await;
    client.write_all(GSSENC_REQUEST).await.unwrap();
    assert_eq!(answer(&mut client).await, b'N');
    client.write_all(SSL_REQUEST).await.unwrap();
    assert_eq!(answer(&mut client).await, b'S');
    let client = site.handshake(client, &[]).await.unwrap();
    assert_eq!(finish(client, STARTUP).await, b"done");
    assert!(site.received().await.is_secure);

    for second in [GSSENC_REQUEST, b"\x16\x03\x01\x02\0"] {
        let mut client = site.client().await;
        client.write_all(GSSENC_REQUEST).await.unwrap();
        assert_eq!(answer(&mut client).await, b'N');
        client.write_all(second).await.unwrap();
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }
    assert_eq!(site.rejection(2).await, INVALID);
    assert_eq!(site.rejection(3).await, INVALID);
}

#[tokio::test(start_paused = true)]
async fn a_client_may_begin_with_tls_if_it_negotiates_the_protocol() {
    let mut site = Site::new(|layer| layer).await;
    let client = site.client().await;
    let client = site.handshake(client, &["postgresql"]).await.unwrap();
    assert_eq!(finish(client, STARTUP).await, b"done");
    let received = site.received().await;
    assert!(received.is_secure);
    assert_eq!((&*received.began, &*received.bytes), ("direct", STARTUP));

    let client = site.client().await;
    let mut client = site.handshake(client, &[]).await.unwrap();
    let _ = client.write_all(STARTUP).await;
    let _ = client.read_to_end(&mut Vec::new()).await;
    assert_eq!(site.rejection(2).await, NO_ALPN);
    assert!(site.is_unreached());
}

#[tokio::test(start_paused = true)]
async fn a_cancel_request_is_passed_on_in_plaintext_and_nothing_behind_it() {
    let mut site = Site::new(|layer| layer).await;
    let long = [&b"\0\0\x01\x0c\x04\xd2\x16\x2e"[..], &[7; 260]].concat();
    for request in [CANCEL_REQUEST, &long] {
        for declined in [false, true] {
            let mut client = site.client().await;
            if declined {
                client.write_all(GSSENC_REQUEST).await.unwrap();
                assert_eq!(answer(&mut client).await, b'N');
            }
            let injected = [request, SSL_REQUEST, STARTUP].concat();
            client.write_all(&injected).await.unwrap();
            let mut response = Vec::new();
            // The client's side remains open.
            in_time(client.read_to_end(&mut response)).await.unwrap();
            assert_eq!(response, b"done");
            let received = site.received().await;
            assert!(!received.is_secure);
            assert_eq!((&*received.began, &*received.bytes), ("cancel", request));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_startup_message_in_plaintext_is_refused_with_an_error() {
    let mut site = Site::new(|layer| layer).await;
    for declined in [false, true] {
        let mut client = site.client().await;
        if declined {
            client.write_all(GSSENC_REQUEST).await.unwrap();
            assert_eq!(answer(&mut client).await, b'N');
        }
        let error = finish(client, STARTUP).await;
        let (head, fields) = error.split_at(5);
        assert_eq!(head[0], b'E');
        let len = u32::from_be_bytes(head[1..].try_into().unwrap());
        assert_eq!(len as usize, fields.len() + 4);
        let fields = fields.strip_suffix(b"\0\0").unwrap();
        let fields = fields.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let fields: Vec<_> = fields.collect();
        assert_eq!(fields[..3], ["SFATAL", "VFATAL", "C28000"]);
        assert!(fields[3].starts_with("Mthe server requires TLS"));
    }
    assert_eq!(site.rejection(1).await, NO_TLS);
    assert!(site.is_unreached());
}

#[tokio::test(start_paused = true)]
async fn a_startup_message_in_plaintext_is_passed_on_where_that_is_allowed() {
    let mut site = Site::new(|layer| layer.allow_plaintext(true)).await;
    let sent = [STARTUP, &[b'Q'; 1000]].concat();
    let client = site.client().await;
    assert_eq!(finish(client, &sent).await, b"done");
    let received = site.received().await;
    assert!(!received.is_secure);
    assert_eq!((&*received.began, received.bytes), ("plaintext", sent));
}

#[tokio::test(start_paused = true)]
async fn anything_else_is_refused_as_soon_as_it_shows() {
    let site = Site::new(|layer| layer.allow_plaintext(true)).await;
    let cases: [&[u8]; 12] = [
        b"G",
        b"\x15\x03\x01\0\x02\x02\x28",
        // Lengths that do not belong to the request.
        b"\0\0\0\x09\x04\xd2\x16\x2f",
        b"\0\0\0\x07\x04\xd2\x16\x2f",
        b"\0\0\0\x09\x04\xd2\x16\x30",
        b"\0\0\0\x0f\x04\xd2\x16\x2e",
        b"\0\0\x01\x0d\x04\xd2\x16\x2e",
        // Startup messages that are too short and too long, and of other versions.
        b"\0\0\0\x08\0\x03\0\0",
        b"\0\0\x27\x11\0\x03\0\0",
        b"\0\xff\xff\xff\0\x03\0\0",
        b"\0\0\0\x10\0\x02\0\0",
        b"\0\0\0\x10\0\x04\0\0",
    ];
    for (id, case) in (1..).zip(cases) {
        let mut client = site.client().await;
        client.write_all(case).await.unwrap();
        let response = in_time(client.read(&mut [0])).await;
        assert_eq!(response.unwrap_or(0), 0, "{}", case.escape_ascii());
        let reason = site.rejection(id).await;
        assert_eq!(reason, INVALID, "{}", case.escape_ascii());
    }
}
