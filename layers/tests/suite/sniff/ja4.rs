//! JA4 fingerprints, with the examples that FoxIO has published, and the raw ClientHello.

use super::{
    hello::{alpn, extension, names, of_body, of_rustls, records, with_len},
    layer::start,
};
use reagent::{Connection, Server, handle, testing::MemoryListener};
use reagent_layers::{
    sniff::{Detected, Detector, SniffLayer, Sniffed},
    tls::rustls::version::{TLS12, TLS13},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SUITES: &str = "1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035";
const EXTENSIONS: &str =
    "001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015";
const SIGNATURE_ALGORITHMS: &str = "0403,0804,0401,0503,0805,0501,0806,0601";

fn values(list: &str) -> Vec<u16> {
    let values = list.split(',').filter(|value| !value.is_empty());
    let values = values.map(|value| u16::from_str_radix(value, 16).unwrap());
    values.collect()
}

fn bytes(values: &[u16]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

/// A ClientHello by its lists.
struct Hello<'a> {
    suites: &'a str,
    extensions: &'a str,
    signature_algorithms: &'a str,
    versions: &'a str,
    alpn: &'a [u8],
}

impl Hello<'_> {
    fn body(&self) -> Vec<u8> {
        let extensions = values(self.extensions)
            .into_iter()
            .flat_map(|kind| match kind {
                0x0000 => names(&["example.org"]),
                0x000d => extension(
                    kind,
                    &with_len::<2>(&bytes(&values(self.signature_algorithms))),
                ),
                0x0010 => extension(kind, &with_len::<2>(&with_len::<1>(self.alpn))),
                0x002b => extension(kind, &with_len::<1>(&bytes(&values(self.versions)))),
                _ => extension(kind, &[]),
            });
        let extensions: Vec<u8> = extensions.collect();
        let suites = with_len::<2>(&bytes(&values(self.suites)));
        let parts = [&[3, 3][..], &[7; 32], &[0], &suites, &[1, 0]];
        [parts.concat(), with_len::<2>(&extensions)].concat()
    }

    fn ja4(&self) -> String {
        ja4(&records(&of_body(&self.body()), 1 << 14))
    }
}

fn sniffed(bytes: &[u8]) -> Sniffed {
    match Detector::new()
        .ja4(true)
        .keep_client_hello(true)
        .detect(bytes)
    {
        Detected::Done(sniffed) => sniffed,
        Detected::NeedMore { needed } => panic!("{needed} needed"),
    }
}

fn ja4(bytes: &[u8]) -> String {
    sniffed(bytes).ja4().expect("a fingerprint").to_owned()
}

const EXAMPLE: Hello<'_> = Hello {
    suites: SUITES,
    extensions: EXTENSIONS,
    signature_algorithms: SIGNATURE_ALGORITHMS,
    versions: "0304,0303",
    alpn: b"h2",
};

#[test]
fn the_published_example_has_its_fingerprint_with_and_without_grease() {
    let expected = "t13d1516h2_8daaf6152771_e5627efa2ab1";
    assert_eq!(EXAMPLE.ja4(), expected);
    let greased = Hello {
        suites: &format!("0a0a,{SUITES},fafa"),
        extensions: &format!("1a1a,{EXTENSIONS},eaea"),
        signature_algorithms: &format!("2a2a,{SIGNATURE_ALGORITHMS}"),
        versions: "fafa,0304,0303",
        ..EXAMPLE
    };
    assert_eq!(greased.ja4(), expected);
    // The order is that of the numbers, except for the signature algorithms.
    let reversed = |list: &str| list.rsplit(',').collect::<Vec<_>>().join(",");
    let shuffled = Hello {
        suites: &reversed(SUITES),
        extensions: &reversed(EXTENSIONS),
        ..EXAMPLE
    };
    assert_eq!(shuffled.ja4(), expected);
    let other = Hello {
        signature_algorithms: &reversed(SIGNATURE_ALGORITHMS),
        ..EXAMPLE
    };
    assert_ne!(other.ja4(), expected);
}

#[test]
fn lists_that_are_empty_have_the_published_forms() {
    let none = Hello {
        signature_algorithms: "",
        ..EXAMPLE
    };
    assert_eq!(none.ja4(), "t13d1516h2_8daaf6152771_6d807ffa2a79");
    // Only extensions that are in the first part.
    let few = Hello {
        suites: "0a0a",
        extensions: "0000,0010",
        ..EXAMPLE
    };
    assert_eq!(few.ja4(), "t12d0002h2_000000000000_000000000000");
    let body = [&[3, 1][..], &[7; 32], &[0], &[0, 2, 0, 0x35], &[1, 0]].concat();
    let found = ja4(&records(&of_body(&body), 1 << 14));
    assert!(found.starts_with("t10i010000_"), "{found}");
    assert!(found.ends_with("_000000000000"), "{found}");
}

#[test]
fn versions_and_protocols_have_two_characters() {
    for (versions, expected) in [
        ("0303,0304", "t13"),
        ("0303", "t12"),
        ("0302,0301", "t11"),
        ("0301", "t10"),
        ("0300", "ts3"),
        ("7f1c", "t00"),
        ("", "t12"),
    ] {
        let found = Hello {
            versions,
            ..EXAMPLE
        }
        .ja4();
        assert!(found.starts_with(expected), "{versions}: {found}");
    }
    let cases: [(&[u8], &str); 9] = [
        (b"h2", "h2"),
        (b"http/1.1", "h1"),
        (b"x", "xx"),
        // The published examples in hexadecimal.
        (b"\xab", "ab"),
        (b"\xab\xcd", "ad"),
        (b"\x30\xab", "3b"),
        (b"\x30\x31\xab\xcd", "3d"),
        (b"\x30\xab\xcd\x31", "01"),
        // GREASE.
        (b"\x0a\x0a", "0a"),
    ];
    for (alpn, expected) in cases {
        let found = Hello { alpn, ..EXAMPLE }.ja4();
        assert_eq!(&found[8..10], expected, "{}", alpn.escape_ascii());
    }
    let counts = vec!["0035"; 120].join(",");
    let many = Hello {
        suites: &counts,
        ..EXAMPLE
    };
    assert!(many.ja4().starts_with("t13d9916h2_"));
}

#[test]
fn a_real_client_is_told_by_its_versions_and_name() {
    let tls13 = ja4(&of_rustls("example.org", &["h2"], &TLS13));
    assert!(tls13.starts_with("t13d"), "{tls13}");
    assert!(tls13[..10].ends_with("h2"), "{tls13}");
    let tls12 = ja4(&of_rustls("192.0.2.1", &[], &TLS12));
    assert!(tls12.starts_with("t12i"), "{tls12}");
    assert!(tls12[..10].ends_with("00"), "{tls12}");
    // Another name and other protocols change the first part only.
    let other = ja4(&of_rustls("example.com", &["http/1.1"], &TLS13));
    assert_eq!(other[10..], tls13[10..]);
}

#[test]
fn the_raw_message_is_kept_however_it_was_cut_into_records() {
    let message = of_body(&EXAMPLE.body());
    for size in [1 << 14, 100, 7] {
        let mut sent = records(&message, size);
        sent.extend(b"\x16\x03\x01");
        let sniffed = sniffed(&sent);
        assert_eq!(sniffed.client_hello(), Some(&*message));
        assert_eq!(sniffed.ja4().unwrap(), EXAMPLE.ja4());
    }
    // The record has more than the message.
    let more = [&*message, b"\x0b\0\0\0"].concat();
    let more = sniffed(&records(&more, 1 << 14));
    assert_eq!(more.client_hello(), Some(&*message));
    let sent = records(&message, 1 << 14);
    let Detected::Done(plain) = Detector::new().detect(&sent) else {
        panic!("enough");
    };
    assert_eq!((plain.ja4(), plain.client_hello()), (None, None));
    assert_eq!(sniffed(&[alpn(&["h2"]), sent].concat()).ja4(), None);
}

#[tokio::test(start_paused = true)]
async fn the_fingerprint_is_a_label_and_chooses_a_route() {
    use reagent_layers::route::{Router, ja4};
    use tower::Layer;

    let tell = |name: &'static str| {
        handle(move |mut conn: Connection| async move {
            let label = conn.handle().label("tls.client.ja4").unwrap_or_default();
            conn.read_to_end(&mut Vec::new()).await?;
            conn.write_all(format!("{name} {label}").as_bytes()).await?;
            conn.shutdown().await
        })
    };
    let router = Router::<reagent_layers::PrefixedIo<_>>::new()
        .route(ja4([EXAMPLE.ja4()]), tell("known"))
        .fallback(tell("other"));
    let (listener, clients) = MemoryListener::new();
    let stack = SniffLayer::new().ja4(true).layer(router);
    let _server = Server::new(listener).start(stack).await.unwrap();
    let other = of_rustls("example.org", &[], &TLS13);
    for (hello, expected) in [
        (
            records(&of_body(&EXAMPLE.body()), 1 << 14),
            format!("known {}", EXAMPLE.ja4()),
        ),
        (other.clone(), format!("other {}", self::ja4(&other))),
        (b"GET / HTTP/1.1\r\n".to_vec(), "other ".to_owned()),
    ] {
        let said = super::layer::tells(&clients, [hello]).await;
        assert_eq!(String::from_utf8_lossy(&said), expected);
    }
    let (_served, clients) = start(SniffLayer::new()).await;
    let said = super::layer::tells(&clients, [other]).await;
    assert!(said.starts_with(b"tls example.org"));
}

#[cfg(feature = "trace")]
#[tokio::test]
async fn the_fingerprint_is_in_the_span_and_the_end_event() {
    use crate::{
        capture::{Capture, field},
        support::until,
    };
    use reagent_layers::trace::{TraceLayer, TraceObserver};

    let (capture, _guard) = Capture::up_to(tracing::Level::DEBUG);
    let (listener, clients) = MemoryListener::new();
    let _server = Server::new(listener)
        .observe(TraceObserver::new())
        .layer(TraceLayer::new())
        .layer(SniffLayer::new().ja4(true))
        .start(handle(super::layer::tell))
        .await
        .unwrap();
    let hello = records(&of_body(&EXAMPLE.body()), 1 << 14);
    super::layer::tells(&clients, [hello]).await;
    until("the end", || !capture.closed().is_empty()).await;
    let ends = capture.named("connection ended");
    for fields in [&capture.closed()[0], &ends[0].fields] {
        let found = field(fields, "tls.client.ja4");
        assert_eq!(found, Some(&*EXAMPLE.ja4()));
        assert_eq!(field(fields, "labels"), None);
    }
}
