//! Clients that are admitted by the names in their certificates, before and after the names change.

use super::{
    pki::{BOTH, Ca, Dir, Made},
    running::{Running, in_time},
};
use crate::support::echoes;
use rcgen::{CertificateParams, DnType, SanType};
use reagent::Outcome;
use reagent_layers::{
    Apply,
    tls::{IDENTITY, PeerPattern, TlsBuilder, TlsInfo, TlsLayer, rustls::ClientConfig},
};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn builder(dir: &Dir, ca: &Ca) -> TlsBuilder {
    let (cert, key) = ca.server(&["localhost"]).write(dir, "localhost");
    dir.write("ca.pem", ca.pem());
    TlsLayer::builder()
        .certificate(cert, key)
        .require_client_certificates(dir.path("ca.pem"))
        .apply(Apply::Existing)
}

/// A list of names that changes, as a program would have it.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<Vec<PeerPattern>>>);

impl Names {
    fn set(&self, names: &[&str]) {
        *self.0.lock().unwrap() = names.iter().map(|name| name.parse().unwrap()).collect();
    }

    fn admit(&self, client: &TlsInfo) -> bool {
        let names = self.0.lock().unwrap();
        names.iter().any(|name| name.matches(client))
    }
}

fn named(ca: &Ca, name: &str) -> Arc<ClientConfig> {
    Arc::new(ca.believer_with(&ca.client(name), BOTH))
}

fn is_refused(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Rejected(why) if why.reason() == IDENTITY)
}

#[tokio::test]
async fn patterns_match_names_of_their_kind_only() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let made = |configure: &dyn Fn(&mut CertificateParams)| ca.client_with(configure);
    let san = |names: &[SanType]| made(&|params| params.subject_alt_names = names.to_vec());
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let uri = |name: &str| SanType::URI(name.try_into().unwrap());
    let email = |name: &str| SanType::Rfc822Name(name.try_into().unwrap());
    let billing = "spiffe://example.org/billing";
    let cases: [(Made, &[&str], &[&str]); 10] = [
        (
            san(&[dns("db.example.org")]),
            &[
                "dns:db.example.org",
                "dns:DB.example.org.",
                "dns:*.example.org",
            ],
            &[
                "dns:example.org",
                "dns:*.org",
                "dns:*.db.example.org",
                "cn:db.example.org",
            ],
        ),
        (
            san(&[dns("example.org")]),
            &["dns:example.org"],
            &["dns:*.example.org"],
        ),
        (
            san(&[uri(billing)]),
            &[
                "uri:spiffe://example.org/billing",
                "uri:spiffe://example.org/*",
            ],
            &[
                "uri:spiffe://example.org/bill",
                "uri:spiffe://example.org/billing/*",
                "uri:spiffe://example.org.evil/*",
                "uri:spiffe://Example.org/billing",
                "dns:example.org",
            ],
        ),
        // Such a certificate has no SPIFFE ID.
        (
            san(&[uri(billing), uri("https://example.org/a")]),
            &["uri:https://example.org/a", "uri:https://example.org/*"],
            &[
                "uri:spiffe://example.org/billing",
                "uri:spiffe://example.org/*",
            ],
        ),
        (
            san(&[uri("spiffe://example.org/")]),
            &[],
            &["uri:spiffe://example.org/*"],
        ),
        (
            san(&[email("alice@example.org")]),
            &["email:alice@example.org"],
            &[
                "email:Alice@example.org",
                "dns:example.org",
                "cn:alice@example.org",
            ],
        ),
        (
            san(&[SanType::IpAddress([192, 0, 2, 1].into())]),
            &["ip:192.0.2.1"],
            &["ip:192.0.2.2", "ip:::ffff:192.0.2.1"],
        ),
        (
            ca.client("alice"),
            &["cn:alice"],
            &["cn:Alice", "cn:alice ", "dns:alice"],
        ),
        (
            ca.client("db.example.org"),
            &["cn:db.example.org"],
            &["dns:db.example.org"],
        ),
        // With two common names, it is not known which of them is meant.
        (
            made(&|params| {
                let name = &mut params.distinguished_name;
                name.push(DnType::CommonName, "alice");
                name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "bob");
            }),
            &[],
            &["cn:alice", "cn:bob"],
        ),
    ];
    let mut running = Running::new(builder(&dir, &ca).build().unwrap()).await;
    for (made, matching, others) in cases {
        let config = Arc::new(ca.believer_with(&made, BOTH));
        let mut client = running.connect(&config, "localhost").await.unwrap();
        assert!(echoes(&mut client, "hello").await);
        let tls = running.seen().await.tls;
        for (patterns, expected) in [(matching, true), (others, false)] {
            for text in patterns {
                let pattern: PeerPattern = text.parse().unwrap();
                assert_eq!(
                    pattern.matches(&tls),
                    expected,
                    "{text} {:?}",
                    tls.peer_names()
                );
            }
        }
    }
}

#[test]
fn patterns_are_shown_as_they_are_written_and_mistakes_are_errors() {
    for text in [
        "dns:db.example.org",
        "dns:*.example.org",
        "uri:spiffe://example.org/billing",
        "uri:spiffe://example.org/*",
        "email:alice@example.org",
        "ip:2001:db8::1",
        "cn:alice: the first",
    ] {
        assert_eq!(text.parse::<PeerPattern>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "alice",
        "dns:",
        "dns:*",
        "dns:*.",
        "dns:a.*.org",
        "dns:a b",
        "DNS:a",
        "uri:",
        "uri:spiffe://example.org*",
        "uri:spiffe://*/billing",
        "uri:example.org/*",
        "email:alice",
        "email:*@example.org",
        "ip:10.0.0.0/8",
        "cn:",
        "cn:*",
        "cn:a\n",
        "spiffe://example.org/billing",
    ] {
        let error = text.parse::<PeerPattern>().unwrap_err().to_string();
        assert!(
            error.contains(&format!("{text:?}: expected dns:HOST")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn open_connections_end_when_their_identity_is_no_longer_admitted() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    for apply in [Apply::Existing, Apply::New] {
        let names = Names::default();
        names.set(&["cn:alice", "cn:bob"]);
        let asked = names.clone();
        let layer = builder(&dir, &ca).apply(apply).build().unwrap();
        let layer = layer.admit(move |client| asked.admit(client));
        let reloader = layer.reloader();
        let mut running = Running::new(layer).await;
        let mut clients = Vec::new();
        for name in ["alice", "bob"] {
            let client = running.connect(&named(&ca, name), "localhost").await;
            clients.push(client.unwrap());
            assert!(echoes(clients.last_mut().unwrap(), "hello").await);
        }
        reloader.recheck().await;
        for client in &mut clients {
            assert!(echoes(client, "still here").await);
        }
        names.set(&["cn:bob"]);
        reloader.recheck().await;
        if apply == Apply::Existing {
            let outcome = running.end().await;
            assert!(is_refused(&outcome), "{outcome}");
            let end = in_time(clients[0].read(&mut [0])).await;
            assert!(matches!(end, Ok(0) | Err(_)));
        } else {
            assert!(echoes(&mut clients[0], "still here").await);
        }
        assert!(echoes(&mut clients[1], "still here").await);
        // A reload checks it too.
        names.set(&[]);
        reloader.reload().await.unwrap();
        match apply {
            Apply::Existing => assert!(is_refused(&running.end().await)),
            _ => assert!(echoes(&mut clients[1], "still here").await),
        }
    }
}

/// The names change after the client was admitted, and before its connection is served.
#[tokio::test]
async fn a_change_while_a_client_is_being_admitted_is_not_missed() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let names = Names::default();
    names.set(&["cn:alice"]);
    let layer = builder(&dir, &ca).build().unwrap();
    let reloader = layer.reloader();
    let (asked, changed) = (names.clone(), reloader.clone());
    let runtime = tokio::runtime::Handle::current();
    let layer = layer.admit(move |client| {
        let admitted = asked.admit(client);
        if admitted {
            asked.set(&[]);
            // On another thread, as a program would.
            let (changed, runtime) = (changed.clone(), runtime.clone());
            let recheck = move || runtime.block_on(changed.recheck());
            std::thread::spawn(recheck).join().unwrap();
        }
        admitted
    });
    let mut running = Running::new(layer).await;
    let client = running.connect(&named(&ca, "alice"), "localhost").await;
    let outcome = running.end().await;
    assert!(is_refused(&outcome), "{outcome}");
    if let Ok(mut client) = client {
        let _ = client.write_all(b"hello").await;
        assert!(!matches!(in_time(client.read(&mut [0])).await, Ok(1..)));
    }
}
