//! The negotiation of LDAP.

use super::{Site, finish};
use crate::{support::check, tls::running::in_time};
use proptest::{collection::vec, prelude::*};
use reagent::Outcome;
use reagent_layers::starttls::{INJECTED, INVALID, NO_TLS, StartTlsLayer, TIMEOUT};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    runtime::Builder,
};

const NAME: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// An anonymous simple bind, version 3.
const BIND: &[u8] = b"\x60\x07\x02\x01\x03\x04\0\x80\0";
const BIND_REFUSED: &[u8] = b"\x61\x21\x0a\x01\x0d\x04\0\x04\x1aTLS is required (StartTLS)";
const UNBIND: &[u8] = b"\x42\0";
const ABANDON: &[u8] = b"\x50\x01\x01";

/// Writes an element with the length in one of three forms: as short as possible, in four bytes, or
/// in eight.
fn element(tag: u8, content: &[u8], form: usize) -> Vec<u8> {
    let len = content.len() as u64;
    let len = len.to_be_bytes();
    let len = match (form, content.len()) {
        (0, 0..0x80) => len[7..].to_vec(),
        (0, 0x80..=0xff) => [&[0x81], &len[7..]].concat(),
        (0, _) => [&[0x82], &len[6..]].concat(),
        (1, _) => [&[0x84], &len[4..]].concat(),
        _ => [&[0x88], &len[..]].concat(),
    };
    [&[tag], &len[..], content].concat()
}

fn message_in(form: usize, id: &[u8], operation: &[u8]) -> Vec<u8> {
    let id = element(0x02, id, form);
    element(0x30, &[&id, operation].concat(), form)
}

fn message(id: u8, operation: &[u8]) -> Vec<u8> {
    message_in(0, &[id], operation)
}

fn extended(form: usize, name: &[u8]) -> Vec<u8> {
    element(0x77, &element(0x80, name, form), form)
}

/// The response of the server that begins TLS.
fn success(id: &[u8]) -> Vec<u8> {
    let result = [b"\x0a\x01\0\x04\0\x04\0\x8a\x16", NAME].concat();
    message_in(0, id, &element(0x78, &result, 0))
}

async fn site() -> Site {
    Site::with(StartTlsLayer::ldap).await
}

async fn expect(client: &mut DuplexStream, expected: &[u8]) {
    let mut answer = vec![0; expected.len()];
    in_time(client.read_exact(&mut answer)).await.unwrap();
    let (answer, expected) = (answer.escape_ascii(), expected.escape_ascii());
    assert_eq!(answer.to_string(), expected.to_string());
}

#[tokio::test(start_paused = true)]
async fn a_request_of_any_id_and_form_is_granted_in_any_pieces() {
    let mut site = site().await;
    let ids: [&[u8]; 5] = [b"\x01", b"\x7f", b"\0\x80", b"\x01\0", b"\x7f\xff\xff\xff"];
    for id in ids {
        for (form, at_once) in [(0, true), (1, true), (2, true), (0, false), (2, false)] {
            let request = message_in(form, id, &extended(form, NAME));
            let mut client = site.client().await;
            for piece in request.chunks(if at_once { request.len() } else { 1 }) {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            expect(&mut client, &success(id)).await;
            let client = site.handshake(client, &[]).await.unwrap();
            assert_eq!(finish(client, BIND).await, b"done");
            let received = site.received().await;
            assert!(received.is_secure);
            assert_eq!((&*received.began, &*received.bytes), ("requested", BIND));
        }
    }
    // Leading zeros of the id are not repeated.
    let mut client = site.client().await;
    let request = message_in(0, b"\0\0\0\x05", &extended(0, NAME));
    client.write_all(&request).await.unwrap();
    expect(&mut client, &success(b"\x05")).await;
}

#[tokio::test(start_paused = true)]
async fn other_requests_are_refused_one_by_one_and_tls_may_still_follow() {
    let mut site = site().await;
    let mut client = site.client().await;
    client.write_all(&message(1, BIND)).await.unwrap();
    expect(&mut client, &message(1, BIND_REFUSED)).await;
    // Several at once, the second without a response.
    let who_am_i = extended(0, b"1.3.6.1.4.1.4203.1.11.3");
    let both = [message(2, ABANDON), message(3, &who_am_i)].concat();
    client.write_all(&both).await.unwrap();
    let refused = [b"\x78", &BIND_REFUSED[1..]].concat();
    expect(&mut client, &message(3, &refused)).await;
    client
        .write_all(&message(4, &extended(0, NAME)))
        .await
        .unwrap();
    expect(&mut client, &success(b"\x04")).await;
    let client = site.handshake(client, &[]).await.unwrap();
    assert_eq!(finish(client, BIND).await, b"done");
    assert!(site.received().await.is_secure);
}

#[tokio::test(start_paused = true)]
async fn each_request_is_refused_by_its_own_response() {
    let site = site().await;
    let pairs = [
        (0x60, 0x61),
        (0x63, 0x65),
        (0x66, 0x67),
        (0x68, 0x69),
        (0x4a, 0x6b),
        (0x6c, 0x6d),
        (0x6e, 0x6f),
    ];
    let mut client = site.client().await;
    for (request, response) in pairs {
        client
            .write_all(&message(9, &element(request, b"x", 0)))
            .await
            .unwrap();
        let refused = [&[response], &BIND_REFUSED[1..]].concat();
        expect(&mut client, &message(9, &refused)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_keeps_asking_without_tls_has_to_go() {
    let mut site = site().await;
    let mut client = site.client().await;
    for n in 0..9 {
        client.write_all(&message(n + 1, BIND)).await.unwrap();
        expect(&mut client, &message(n + 1, BIND_REFUSED)).await;
    }
    assert_eq!(in_time(client.read(&mut [0])).await.unwrap(), 0);
    assert_eq!(site.rejection(1).await, NO_TLS);

    // A request that is too long to be read is refused as well.
    let mut client = site.client().await;
    let long = message(1, &element(0x63, &[b'x'; 5000], 0));
    client.write_all(&long[..100]).await.unwrap();
    let refused = [b"\x65", &BIND_REFUSED[1..]].concat();
    expect(&mut client, &message(1, &refused)).await;
    assert_eq!(in_time(client.read(&mut [0])).await.unwrap(), 0);
    assert_eq!(site.rejection(2).await, NO_TLS);

    // A client that says that it leaves.
    let response = finish(site.client().await, &message(1, UNBIND)).await;
    assert!(response.is_empty());
    assert_eq!(site.rejection(3).await, NO_TLS);
    assert!(site.is_unreached());
}

#[tokio::test(start_paused = true)]
async fn other_requests_are_passed_on_where_that_is_allowed() {
    let mut site = Site::with(|tls| StartTlsLayer::ldap(tls).allow_plaintext(true)).await;
    let long = element(0x60, &[b'x'; 100_000], 1);
    for operation in [BIND, &long, &extended(0, b"1.2.3"), UNBIND] {
        let sent = [message(1, operation), message(2, BIND)].concat();
        let client = site.client().await;
        assert_eq!(finish(client, &sent).await, b"done");
        let received = site.received().await;
        assert!(!received.is_secure);
        assert_eq!((&*received.began, received.bytes), ("plaintext", sent));
    }
}

#[tokio::test(start_paused = true)]
async fn plaintext_behind_the_request_is_refused() {
    let mut site = Site::with(|tls| StartTlsLayer::ldap(tls).allow_plaintext(true)).await;
    let request = message(1, &extended(0, NAME));
    let cases = [&message(2, BIND)[..], &request, b"\0", b"\x16\x03\x01"];
    for (id, injected) in (1..).zip(cases) {
        let response = finish(site.client().await, &[&request, injected].concat()).await;
        assert!(response.is_empty(), "{}", response.escape_ascii());
        assert_eq!(site.rejection(id).await, INJECTED);
    }
    // What comes after the answer is taken for the handshake.
    let mut client = site.client().await;
    client.write_all(&request).await.unwrap();
    expect(&mut client, &success(b"\x01")).await;
    client.write_all(&message(2, BIND)).await.unwrap();
    let _ = client.read_to_end(&mut Vec::new()).await;
    assert!(matches!(site.ends.of(5).await, Outcome::Failed(_)));
    assert!(site.is_unreached());
}

#[tokio::test(start_paused = true)]
async fn anything_else_is_refused_as_soon_as_it_shows() {
    let site = Site::with(|tls| StartTlsLayer::ldap(tls).allow_plaintext(true)).await;
    let with_value = element(0x80, NAME, 0);
    let with_value = element(0x77, &[&with_value[..], b"\x81\0"].concat(), 0);
    let with_controls = [&extended(0, NAME)[..], b"\xa0\0"].concat();
    let cases: [&[u8]; 13] = [
        b"G",
        // A handshake.
        b"\x16\x03\x01",
        // Lengths that are indefinite, too long, or longer than their message.
        b"\x30\x80",
        b"\x30\x89",
        b"\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x30\x05\x02\x04",
        // Ids that are missing, empty, zero, negative and too large.
        b"\x30\x05\x60",
        b"\x30\x05\x02\0",
        b"\x30\x05\x02\x01\0\x60",
        b"\x30\x05\x02\x01\xff\x60",
        b"\x30\x08\x02\x05\0\x80\0\0\0\x60",
        // Operations that are missing, or none of a client.
        b"\x30\x03\x02\x01\x01",
        b"\x30\x05\x02\x01\x01\x61\0",
    ];
    let whole = [message(1, &with_value), message(1, &with_controls)];
    let cases = cases.into_iter().chain(whole.iter().map(|case| &**case));
    for (id, case) in (1..).zip(cases) {
        let mut client = site.client().await;
        client.write_all(case).await.unwrap();
        let response = in_time(client.read(&mut [0])).await;
        assert_eq!(response.unwrap_or(0), 0, "{}", case.escape_ascii());
        let reason = site.rejection(id).await;
        assert_eq!(reason, INVALID, "{}", case.escape_ascii());
    }
}

#[tokio::test(start_paused = true)]
async fn refused_requests_do_not_extend_the_time_limit() {
    let limit = Duration::from_secs(3);
    let site = Site::with(|tls| StartTlsLayer::ldap(tls).timeout(limit)).await;
    let began = tokio::time::Instant::now();
    let mut client = site.client().await;
    for n in 0..3 {
        client.write_all(&message(n + 1, BIND)).await.unwrap();
        expect(&mut client, &message(n + 1, BIND_REFUSED)).await;
        tokio::time::sleep(limit / 4).await;
    }
    assert_eq!(in_time(client.read(&mut [0])).await.unwrap(), 0);
    assert_eq!(began.elapsed().as_secs(), 3);
    let Outcome::TimedOut(timed_out) = site.ends.of(1).await else {
        panic!("not timed out");
    };
    assert_eq!(timed_out.kind(), TIMEOUT);
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let operation = prop_oneof![
        2 => Just(extended(0, NAME)),
        1 => Just(extended(1, b"1.2.3")),
        1 => prop::sample::select(vec![BIND, UNBIND, ABANDON]).prop_map(<[u8]>::to_vec),
    ];
    prop_oneof![
        4 => (0..3_usize, 0..3_u8, operation).prop_map(|(form, id, operation)| {
            message_in(form, &[id], &operation)
        }),
        1 => vec(any::<u8>(), 0..20),
        1 => (1..12_usize).prop_map(|len| message(1, BIND)[..len].to_vec()),
    ]
}

#[test]
fn no_plaintext_ever_reaches_a_handler() {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    check(300, vec(piece(), 0..5), |pieces| {
        runtime.block_on(async {
            let mut site = site().await;
            let mut client = site.client().await;
            for piece in &pieces {
                let _ = client.write_all(piece).await;
                tokio::task::yield_now().await;
            }
            let _ = client.shutdown().await;
            let _ = in_time(client.read_to_end(&mut Vec::new())).await;
            let outcome = site.ends.of(1).await;
            prop_assert!(!matches!(outcome, Outcome::Completed));
            prop_assert!(site.is_unreached());
            Ok(())
        })
    });
}
