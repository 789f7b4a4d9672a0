//! Session tickets: keys that are rotated, shared, and handed over to a successor.

use super::{
    pki::{Ca, Dir, EACH},
    running::{Running, resumes},
};
use crate::support::{check, echoes};
use proptest::prelude::*;
use reagent::Carried;
use reagent_layers::tls::{
    HandshakeErrorKind, TicketKeys, TlsBuilder, TlsLayer,
    rustls::{
        ServerConfig,
        crypto::ring,
        server::{ProducesTickets, WebPkiClientVerifier},
    },
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::advance;

const HOUR: Duration = Duration::from_secs(3600);
/// More than the time that passes, by the wall clock, between saving and restoring.
const MINUTE: Duration = Duration::from_secs(60);

/// The version and the time of saved keys.
const VERSION: usize = 0;
const SAVED_AT: std::ops::Range<usize> = 1..9;

/// The bytes before the keys, and of each key.
const HEADER: usize = 13;
const KEY: usize = 16 + 32 + 8;

fn builder(dir: &Dir, ca: &Ca) -> TlsBuilder {
    let (cert, key) = ca.server(&["localhost"]).write(dir, "localhost");
    dir.write("ca.pem", ca.pem());
    TlsLayer::builder().certificate(cert, key)
}

/// Returns keys as a successor has them.
fn handed_over(keys: &TicketKeys) -> TicketKeys {
    let successor = TicketKeys::new();
    successor.restore(&keys.save()).unwrap();
    successor
}

/// Changes saved keys as if they had been saved some time ago.
fn saved_before(mut saved: Vec<u8>, ago: Duration) -> Vec<u8> {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - ago;
    let millis = u64::try_from(at.as_millis()).unwrap();
    saved[SAVED_AT].copy_from_slice(&millis.to_be_bytes());
    saved
}

/// A ticketer and a ticket of it.
fn ticket(keys: &TicketKeys) -> (Arc<dyn ProducesTickets>, Vec<u8>) {
    let ticketer = keys.ticketer();
    let ticket = ticketer.encrypt(b"session").unwrap();
    (ticketer, ticket)
}

fn accepts(keys: &TicketKeys, ticket: &[u8]) -> bool {
    match keys.ticketer().decrypt(ticket) {
        Some(session) => session == b"session",
        None => false,
    }
}

#[tokio::test]
async fn sessions_are_resumed_by_a_successor_that_has_received_the_keys() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let builder = builder(&dir, &ca);
    let layer = builder.clone().build().unwrap();
    let keys = layer.ticket_keys().unwrap();
    let mut first = Running::new(layer).await;
    let mut stranger = Running::new(builder.clone().build().unwrap()).await;
    for version in EACH {
        let config = Arc::new(ca.believer(&[version]));
        assert!(!resumes(&mut first, &config).await);
        assert!(resumes(&mut first, &config).await);
        // A layer with other keys does a full handshake, and the client loses nothing.
        assert!(!resumes(&mut stranger, &config).await);
    }
    // The keys can be restored before the layer is built, or afterwards.
    let second = builder.clone().ticket_keys(handed_over(&keys));
    let second = second.build().unwrap();
    let second_keys = second.reloader().ticket_keys().unwrap();
    let third = builder.build().unwrap();
    let third_keys = third.ticket_keys().unwrap();
    third_keys.restore(&second_keys.save()).unwrap();
    third.reloader().reload().await.unwrap();
    let mut second = Running::new(second).await;
    let mut third = Running::new(third).await;
    for version in EACH {
        let config = Arc::new(ca.believer(&[version]));
        assert!(!resumes(&mut first, &config).await);
        assert!(resumes(&mut second, &config).await);
        assert!(resumes(&mut third, &config).await);
        // And back, since a successor may fail after all.
        assert!(resumes(&mut first, &config).await);
    }
}

#[tokio::test]
async fn only_layers_that_share_their_keys_resume_each_others_sessions() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let builder = builder(&dir, &ca);
    let sharing = builder.clone().ticket_keys(TicketKeys::new());
    for (builder, shared) in [(builder, false), (sharing, true)] {
        let mut one = Running::new(builder.clone().build().unwrap()).await;
        let mut other = Running::new(builder.build().unwrap()).await;
        for version in EACH {
            let config = Arc::new(ca.believer(&[version]));
            assert!(!resumes(&mut one, &config).await);
            assert_eq!(resumes(&mut other, &config).await, shared);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_used_for_6_hours_and_kept_for_12_across_restarts() {
    let keys = TicketKeys::new();
    let (_, first) = ticket(&keys);
    advance(5 * HOUR).await;
    let keys = handed_over(&keys);
    let (_, second) = ticket(&keys);
    assert_eq!(first[..16], second[..16], "the same key");
    advance(HOUR).await;
    let keys = handed_over(&keys);
    let (_, third) = ticket(&keys);
    assert_ne!(second[..16], third[..16], "a new key");
    assert!([&first, &second, &third].map(|ticket| accepts(&keys, ticket)) == [true; 3]);

    advance(6 * HOUR - MINUTE).await;
    assert!([&first, &second, &third].map(|ticket| accepts(&keys, ticket)) == [true; 3]);
    advance(2 * MINUTE).await;
    // The key of the second one has expired, although the ticket has not.
    let expected = [false, false, true];
    assert!([&first, &second, &third].map(|ticket| accepts(&keys, ticket)) == expected);
    let keys = handed_over(&keys);
    assert!([&first, &second, &third].map(|ticket| accepts(&keys, ticket)) == expected);
    // At no time are there more than two keys, and expired ones are not saved.
    assert_eq!(keys.save().len(), HEADER + KEY);
    ticket(&keys);
    assert_eq!(keys.save().len(), HEADER + 2 * KEY);
    advance(100 * HOUR).await;
    assert_eq!(keys.save().len(), HEADER);
}

#[tokio::test(start_paused = true)]
async fn sessions_end_with_their_lifetime_across_restarts() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let builder = builder(&dir, &ca).session_lifetime(HOUR);
    let first = builder.clone().build().unwrap();
    let keys = first.ticket_keys().unwrap();
    let mut first = Running::new(first).await;
    let clients = EACH.map(|version| Arc::new(ca.believer(&[version])));
    for config in &clients {
        assert!(!resumes(&mut first, config).await);
    }
    advance(HOUR / 2).await;
    let second = builder.ticket_keys(handed_over(&keys)).build().unwrap();
    let mut second = Running::new(second).await;
    advance(HOUR / 2 - MINUTE).await;
    for config in &clients {
        assert!(resumes(&mut second, config).await);
    }
    advance(HOUR + MINUTE).await;
    for config in &clients {
        assert!(!resumes(&mut second, config).await);
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_between_saving_and_restoring_counts() {
    let keys = TicketKeys::new();
    let (_, old) = ticket(&keys);
    for (ago, is_used) in [(HOUR, true), (7 * HOUR, false)] {
        let later = TicketKeys::new();
        later.restore(&saved_before(keys.save(), ago)).unwrap();
        assert!(accepts(&later, &old));
        assert_eq!(old[..16] == ticket(&later).1[..16], is_used);
        assert!(accepts(&later, &old), "after a rotation");
    }
    // Keys that have expired change nothing, and neither do those of a server without clients.
    let later = TicketKeys::new();
    let (_, own) = ticket(&later);
    later
        .restore(&saved_before(keys.save(), 13 * HOUR))
        .unwrap();
    later.restore(&TicketKeys::new().save()).unwrap();
    assert!(accepts(&later, &own) && !accepts(&later, &old));
    // A clock that is set back makes no key younger.
    advance(11 * HOUR).await;
    let mut saved = keys.save();
    saved[SAVED_AT].fill(0xff);
    later.restore(&saved).unwrap();
    advance(HOUR - MINUTE).await;
    assert!(accepts(&later, &old));
    advance(2 * MINUTE).await;
    assert!(!accepts(&later, &old));
}

#[tokio::test]
async fn a_damaged_ticket_is_not_accepted() {
    let keys = TicketKeys::new();
    let (ticketer, whole) = ticket(&keys);
    assert_eq!(ticketer.decrypt(&whole).as_deref(), Some(&b"session"[..]));
    for at in 0..whole.len() {
        assert!(!accepts(&keys, &whole[..at]), "cut at {at}");
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            assert!(!accepts(&keys, &damaged), "bit {bit} of {at}");
        }
    }
    assert!(!accepts(&keys, &[&whole[..], &[0]].concat()));
    assert!(!accepts(&TicketKeys::new(), &whole));
    // No two tickets are alike, and none is longer than what is accepted.
    assert_ne!(ticketer.encrypt(b"session").unwrap(), whole);
    let longest = ticketer.encrypt(&[0; 16 * 1024 - 48]).unwrap();
    assert!(ticketer.decrypt(&longest).is_some());
    assert_eq!(ticketer.encrypt(&[0; 16 * 1024 - 47]), None);
    assert_eq!(ticketer.decrypt(&[longest, vec![0]].concat()), None);
}

#[tokio::test]
async fn saved_keys_that_are_damaged_are_an_error_and_change_nothing() {
    let other = TicketKeys::new();
    ticket(&other);
    let whole = other.save();
    assert_eq!(whole.len(), HEADER + KEY);
    let keys = TicketKeys::new();
    let (_, own) = ticket(&keys);
    let is_refused = |saved: &[u8]| {
        let is_refused = keys.restore(saved).is_err();
        assert!(accepts(&keys, &own));
        is_refused
    };
    for len in 0..whole.len() {
        assert!(is_refused(&whole[..len]), "cut at {len}");
    }
    assert!(is_refused(&[&whole[..], &[0]].concat()));
    let mut two = [&whole[..], &whole[HEADER..]].concat();
    for count in [0, 1, 3, 1 << 16, u32::MAX] {
        two[HEADER - 4..HEADER].copy_from_slice(&count.to_be_bytes());
        assert!(is_refused(&two), "{count}");
    }
    let many = [&whole[..HEADER - 4], &[0, 0, 0, 100], &[7; 100 * KEY]];
    assert!(is_refused(&many.concat()));
}

#[tokio::test]
async fn a_format_of_another_version_is_ignored() {
    let other = TicketKeys::new();
    ticket(&other);
    let keys = TicketKeys::new();
    let (_, own) = ticket(&keys);
    let mut saved = other.save();
    for version in (0..=u8::MAX).filter(|version| *version != 1) {
        saved[VERSION] = version;
        keys.restore(&saved).unwrap();
        keys.restore(&[version]).unwrap();
        assert!(accepts(&keys, &own));
    }
}

#[test]
fn no_bytes_make_restoring_panic() {
    let bytes = prop::collection::vec(any::<u8>(), 0..200);
    let likely = (0..3_u8, prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(count, tail)| {
        let header = [&[1][..], &[0; 11], &[count]].concat();
        [header, tail].concat()
    });
    let whole = (any::<[u8; 8]>(), 1..3_usize).prop_flat_map(|(at, count)| {
        let keys = prop::collection::vec(any::<u8>(), count * KEY);
        keys.prop_map(move |keys| [&[1][..], &at, &[0, 0, 0, count as u8], &keys].concat())
    });
    check(2000, prop_oneof![bytes, likely, whole], |saved| {
        let keys = TicketKeys::new();
        let _ = keys.restore(&saved);
        let (_, ticket) = ticket(&keys);
        prop_assert!(accepts(&keys, &ticket));
        prop_assert!(accepts(&handed_over(&keys), &ticket));
        Ok(())
    });
}

#[tokio::test]
async fn a_reset_ends_all_sessions() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let layer = builder(&dir, &ca).build().unwrap();
    let keys = layer.ticket_keys().unwrap();
    let mut running = Running::new(layer).await;
    for version in EACH {
        let config = Arc::new(ca.believer(&[version]));
        assert!(!resumes(&mut running, &config).await);
        assert!(resumes(&mut running, &config).await);
        keys.reset();
        assert!(!resumes(&mut running, &config).await);
        assert!(resumes(&mut running, &config).await);
    }
}

#[tokio::test]
async fn keys_are_not_shown() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let keys = TicketKeys::new();
    ticket(&keys);
    let shown = format!("{keys:?}");
    assert_eq!(shown, r#"TicketKeys { name: "tls ticket keys", .. }"#);
    let builder = builder(&dir, &ca).ticket_keys(keys.clone().named("other"));
    let ticketer = keys.ticketer();
    let shown = format!("{builder:?} {:?} {ticketer:?}", builder.clone().build());
    let secret = &keys.save()[HEADER + 16..HEADER + 48];
    for part in secret.windows(2) {
        let list = format!("{}, {}", part[0], part[1]);
        let hex = format!("{:02x}{:02x}{:02x}", part[0], part[1], part[0]);
        assert!(!shown.contains(&list) && !shown.contains(&hex));
    }
}

#[tokio::test]
async fn each_set_of_keys_can_have_a_name() {
    let keys = TicketKeys::new();
    assert_eq!(Carried::name(&keys), "tls ticket keys");
    assert_eq!(Carried::name(&keys.clone().named("inside")), "inside");
    assert_eq!(Carried::name(&keys), "tls ticket keys");
}

/// A configuration that asks for client certificates and resumes sessions all the same.
fn careless(ca: &Ca, keys: &TicketKeys) -> TlsLayer {
    let provider = Arc::new(ring::default_provider());
    let made = ca.server(&["localhost"]);
    let verifier = WebPkiClientVerifier::builder_with_provider(ca.roots().into(), provider.clone())
        .allow_unauthenticated()
        .build()
        .unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![made.cert.clone()], made.key_der())
        .unwrap();
    config.ticketer = keys.ticketer();
    TlsLayer::from_config(Arc::new(config))
}

#[tokio::test]
async fn keys_can_be_used_in_a_configuration_of_ones_own() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let keys = TicketKeys::new();
    let layer = careless(&ca, &keys);
    assert!(layer.ticket_keys().is_none() && layer.reloader().ticket_keys().is_none());
    let mut first = Running::new(layer).await;
    let sharing = builder(&dir, &ca).ticket_keys(keys.clone());
    let mut sharing = Running::new(sharing.build().unwrap()).await;
    for version in EACH {
        let config = Arc::new(ca.believer_with(&ca.client("alice"), &[version]));
        assert!(!resumes(&mut first, &config).await);
        let mut second = Running::new(careless(&ca, &handed_over(&keys))).await;
        assert!(resumes(&mut second, &config).await);
        // Otherwise this layer would report a certificate that it has never checked.
        assert!(!resumes(&mut sharing, &config).await);
    }
}

#[tokio::test]
async fn no_session_survives_a_restart_that_changes_whom_the_server_trusts() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let other = dir.write("other.pem", Ca::new("other").pem());
    let open = builder(&dir, &ca);
    let trusting = open.clone().require_client_certificates(dir.path("ca.pem"));
    let distrusting = open.clone().require_client_certificates(other);
    let keys = TicketKeys::new();
    let start = async |builder: &TlsBuilder, keys: &TicketKeys| {
        Running::new(builder.clone().ticket_keys(keys.clone()).build().unwrap()).await
    };
    for version in EACH {
        // With a certificate, and its authority is removed.
        let alice = Arc::new(ca.believer_with(&ca.client("alice"), &[version]));
        let mut before = start(&trusting, &keys).await;
        for _ in 0..2 {
            assert!(!resumes(&mut before, &alice).await);
        }
        // Without one, by an open layer that shares the keys.
        let nobody = Arc::new(ca.believer(&[version]));
        let mut before = start(&open, &keys).await;
        assert!(!resumes(&mut before, &nobody).await);
        assert!(!resumes(&mut before, &alice).await);

        let keys = handed_over(&keys);
        for (after, config) in [(&distrusting, &alice), (&trusting, &nobody)] {
            let mut after = start(after, &keys).await;
            if let Ok(mut client) = after.connect(config, "localhost").await {
                assert!(!echoes(&mut client, "hello").await);
            }
            let kind = after.failure().await;
            assert_eq!(kind, HandshakeErrorKind::BadClientCertificate);
        }
        // The certificate is asked for and checked.
        let mut after = start(&trusting, &keys).await;
        assert!(!resumes(&mut after, &alice).await);
        let mut after = start(&open, &keys).await;
        assert!(resumes(&mut after, &nobody).await);
    }
}
