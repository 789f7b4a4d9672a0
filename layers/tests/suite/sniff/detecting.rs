//! The detection of every kind of protocol.

use super::{
    PREFACE, PROXY_V2, asked,
    hello::{EACH, alpn, extension, head, hello, message, names, of_body, of_rustls, records},
    is_unknown, needed, sniffed,
};
use reagent_layers::sniff::{Detected, Detector, Protocol, detect};

#[test]
fn each_protocol_is_known_at_its_last_byte_and_not_before() {
    for (signature, expected) in [
        (&b"GET "[..], Protocol::Http1),
        (b"HEAD ", Protocol::Http1),
        (b"POST ", Protocol::Http1),
        (b"PUT ", Protocol::Http1),
        (b"DELETE ", Protocol::Http1),
        (b"CONNECT ", Protocol::Http1),
        (b"OPTIONS ", Protocol::Http1),
        (b"TRACE ", Protocol::Http1),
        (b"PATCH ", Protocol::Http1),
        (b"PROPFIND ", Protocol::Http1),
        (b"UNLOCK ", Protocol::Http1),
        (PREFACE, Protocol::Http2),
        (b"SSH-", Protocol::Ssh),
        (b"PROXY ", Protocol::Proxy),
        (PROXY_V2, Protocol::Proxy),
    ] {
        for len in 0..signature.len() {
            assert_eq!(needed(&signature[..len]), len + 1);
        }
        for more in [&b""[..], b"more", &[0; 40_000]] {
            let all = [signature, more].concat();
            assert_eq!(*sniffed(&all).protocol(), expected);
            assert_eq!(asked(&sniffed(&all)), (None, String::new()));
        }
    }
}

#[test]
fn other_bytes_are_unknown_at_the_first_byte_that_differs() {
    for bytes in [
        &b"PROXY\t"[..],
        b"PRI *  ",
        b"SSH1\r",
        // Other text protocols: Redis, SMTP, memcached, IMAP, SIP, RTSP, NATS.
        b"PING\r",
        b"EHLO me\r",
        b"g",
        b"1",
        b"*",
        b"INVITE sip:a@b S",
        b"DESCRIBE rtsp://b/c R",
        b"PUB a 5",
        // No method, a method of 33 bytes, no target, another version.
        b" ",
        &[b'M'; 33],
        b"REPORT  ",
        b"REPORT /\r",
        b"REPORT / HTTP/2",
        b"\r\nG",
        b"\r\n\r\n\0\r\nQUIT\r",
        b"\x80",
        b"\x15",
        b"\x16\x02",
        // An empty record, an oversized one, and one of another type.
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x40\x01",
        b"\x16\x03\x01\x00\x40\x02",
        // A message that is longer than the bound.
        b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc",
        b"\x16\x03\x01\x40\x00\x01\xff\xff\xff",
    ] {
        assert!(is_unknown(bytes), "{}", bytes.escape_ascii());
        needed(&bytes[..bytes.len() - 1]);
    }
}

#[test]
fn any_other_method_is_http_at_the_version_and_not_before() {
    for (method, target) in [
        ("REPORT", "/a%20b"),
        ("MKCALENDAR", "/c\u{e4}l"),
        ("SEARCH", "http://example.org/?q=1"),
        ("QUERY", "/"),
        ("NOTIFY", "*"),
        ("M-SEARCH", "*"),
        ("BASELINE-CONTROL", "/"),
        ("PROXYING", "/"),
        ("PRI", "/"),
        ("M!#$%&'*+-.^_`|~09azAZ", "/"),
        (&"M".repeat(32), "/"),
    ] {
        let line = format!("{method} {target} HTTP/1.");
        for len in 0..line.len() {
            let needed = needed(&line.as_bytes()[..len]);
            assert_eq!(needed, len + 1, "{line}");
        }
        let request = format!("{line}1\r\nHost: a\r\n\r\n");
        for bytes in [line.as_bytes(), request.as_bytes()] {
            assert_eq!(*sniffed(bytes).protocol(), Protocol::Http1, "{line}");
        }
    }
    // The bound also applies to request targets.
    let long = format!("REPORT /{}", "x".repeat(16_384));
    assert_eq!(needed(&long.as_bytes()[..16_383]), 16_384);
    assert!(is_unknown(&long.as_bytes()[..16_384]));
}

#[test]
fn a_client_of_rustls_is_known_with_what_it_asks_for() {
    for version in EACH {
        let bytes = of_rustls("WWW.Example.org", &["h2", "http/1.1"], version);
        let found = sniffed(&bytes);
        assert_eq!(*found.protocol(), Protocol::Tls);
        let expected = (Some("www.example.org"), "h2 http/1.1".to_owned());
        assert_eq!(asked(&found), expected);

        // rustls sends no server name for an IP address.
        let bytes = of_rustls("192.0.2.1", &[], version);
        assert_eq!(asked(&sniffed(&bytes)), (None, String::new()));
    }
}

#[test]
fn a_hello_may_come_in_any_number_of_records() {
    let extensions = [names(&["a.test"]), alpn(&["h2"])].concat();
    let message = message(&extensions);
    for size in 1..=message.len() {
        let bytes = records(&message, size);
        for len in 0..bytes.len() {
            let needed = needed(&bytes[..len]);
            assert!(len < needed && needed <= bytes.len(), "{size} {len}");
        }
        let more = [&bytes[..], b"\x14\x03\x03\x00\x01\x01"].concat();
        assert_eq!(asked(&sniffed(&more)), (Some("a.test"), "h2".to_owned()));
    }
}

#[test]
fn once_its_length_is_known_a_hello_is_looked_at_only_when_it_can_be_whole() {
    let bytes = hello(&extension(21, &[0; 500]));
    assert_eq!(needed(&bytes[..9]), bytes.len());
    assert_eq!(needed(&bytes[..100]), bytes.len());
    // Many records do not cause many attempts: each one reduces the missing length by at least a
    // sixth.
    let bytes = records(&message(&extension(21, &[0; 2000])), 1);
    let (mut len, mut looks) = (0, 0);
    while let Detected::NeedMore { needed } = detect(&bytes[..len]) {
        (len, looks) = (needed, looks + 1);
    }
    assert_eq!(len, bytes.len());
    assert!(looks < 150, "{looks}");
}

#[test]
fn the_least_hello_has_no_extensions() {
    for bytes in [
        records(&of_body(&head()), 99),
        hello(&[]),
        hello(&extension(43, &[2, 3, 4])),
    ] {
        let found = sniffed(&bytes);
        assert_eq!(*found.protocol(), Protocol::Tls);
        assert_eq!(asked(&found), (None, String::new()));
    }
}

#[test]
fn a_name_is_one_host_name_and_anything_else_is_tls_without_one() {
    let long = vec!["a".repeat(63); 4].join(".");
    for (name, expected) in [
        ("localhost", "localhost"),
        ("A.Example.ORG", "a.example.org"),
        ("a.example.org.", "a.example.org"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("_sip._tcp.example", "_sip._tcp.example"),
        (&long[2..], &long[2..]),
    ] {
        assert_eq!(asked(&sniffed(&hello(&names(&[name])))).0, Some(expected));
    }
    let too_long = "a".repeat(64);
    for name in [
        "",
        ".",
        "..",
        "..b",
        "a..b",
        ".a",
        "a b",
        "a\0b",
        "ü",
        "a/b",
        "*.a",
        "aa:bbb",
        "127.0.0.1",
        "127.0.0.1.",
        "::1",
        "[::1]",
        "2001:db8::1",
        "::ffff:192.0.2.1",
        &too_long,
        &long,
    ] {
        let found = sniffed(&hello(&names(&[name])));
        assert_eq!(*found.protocol(), Protocol::Tls, "{name:?}");
        assert_eq!(found.server_name(), None, "{name:?}");
    }
}

#[test]
fn ambiguous_or_meaningless_bytes_are_not_a_hello() {
    let good = [head(), vec![0, 0]].concat();
    let with = |at: usize, byte: u8| {
        let mut body = good.clone();
        body[at] = byte;
        records(&of_body(&body), 1000)
    };
    for (what, bytes) in [
        ("two names", hello(&names(&["a.test", "b.test"]))),
        (
            "two lists of names",
            hello(&[names(&["a.test"]), names(&["a.test"])].concat()),
        ),
        ("no name", hello(&names(&[]))),
        (
            "another kind of name",
            hello(&extension(0, &[0, 4, 1, 0, 1, b'a'])),
        ),
        ("a name cut", hello(&extension(0, &[0, 4, 0, 0, 9, b'a']))),
        (
            "more than a list of names",
            hello(&extension(0, &[0, 4, 0, 0, 1, b'a', 0])),
        ),
        ("an empty extension", hello(&extension(0, &[]))),
        (
            "two lists of protocols",
            hello(&[alpn(&["h2"]), alpn(&["h2"])].concat()),
        ),
        ("no protocol", hello(&alpn(&[]))),
        ("a protocol without a name", hello(&alpn(&["h2", ""]))),
        ("a protocol cut", hello(&extension(16, &[0, 2, 9, b'h']))),
        (
            "more than a list of protocols",
            hello(&extension(16, &[0, 2, 1, b'h', 0])),
        ),
        ("half an extension", hello(&[0, 43, 0])),
        ("an extension that is cut", hello(&[0, 43, 0, 9, 1])),
        ("a version before all", with(0, 2)),
        ("a session of 33 bytes", with(34, 33)),
        ("no cipher suite", with(36, 0)),
        ("half a cipher suite", with(36, 3)),
        ("no compression", with(39, 0)),
        ("extensions beyond the end", with(42, 1)),
        (
            "bytes after the extensions",
            records(&of_body(&[good.clone(), vec![0]].concat()), 1000),
        ),
        ("a body too short", records(&of_body(&good[..20]), 1000)),
    ] {
        assert!(is_unknown(&bytes), "{what}");
    }
    // A record of another type is not part of the message.
    let mut bytes = records(&message(&names(&["a.test"])), 40);
    assert_eq!(bytes[45], 22);
    bytes[45] = 23;
    assert!(is_unknown(&bytes));
}

#[test]
fn no_more_than_the_bound_is_looked_at() {
    // Padding up to the bound, and one byte more.
    let fits = hello(&extension(21, &vec![0; 16_384 - 56]));
    assert_eq!(fits.len(), 16_384);
    assert_eq!(needed(&fits[..16_383]), 16_384);
    assert_eq!(*sniffed(&fits).protocol(), Protocol::Tls);
    let longer = records(&message(&extension(21, &vec![0; 16_385 - 61])), 1 << 13);
    assert_eq!(longer.len(), 16_385);
    assert!(is_unknown(&longer[..5 + (1 << 13)]));
    assert!(is_unknown(&longer));

    let little = Detector::new().max_len(50).prefix("long", [b'l'; 51]);
    for (bytes, expected) in [
        (&hello(&[])[..], Protocol::Unknown),
        (&records(&of_body(&head()), 99), Protocol::Tls),
        (b"SSH-", Protocol::Ssh),
        (&[b'l'; 60], Protocol::Unknown),
        (b"l", Protocol::Unknown),
    ] {
        let Detected::Done(found) = little.detect(bytes) else {
            panic!("{}", bytes.escape_ascii())
        };
        assert_eq!(*found.protocol(), expected);
    }
    let nothing = Detector::new().max_len(0);
    assert!(matches!(nothing.detect(b""), Detected::Done(_)));
}

#[test]
fn custom_prefixes_are_checked_first_and_in_order() {
    let own = |name: &str| Protocol::Own(name.into());
    let detector = Detector::new()
        .prefix("never", b"")
        .prefix("own", b"GET /own")
        .prefix("longer", b"GET /owner")
        .prefix("binary", [0, 255])
        .prefix("tls", [22, 9]);
    for (bytes, expected) in [
        (&b"GET /own"[..], own("own")),
        (b"GET /owner", own("own")),
        (b"GET /ox", Protocol::Http1),
        (b"GET x", Protocol::Http1),
        (b"\0\xff\0", own("binary")),
        (b"\0\xfe", Protocol::Unknown),
        (b"\x16\x09", own("tls")),
        (&hello(&[]), Protocol::Tls),
    ] {
        let Detected::Done(found) = detector.detect(bytes) else {
            panic!("{}", bytes.escape_ascii())
        };
        assert_eq!(*found.protocol(), expected, "{}", bytes.escape_ascii());
        assert_eq!(found.protocol().as_str(), expected.to_string());
    }
    // More bytes are needed to tell them apart.
    for bytes in [&b"GET "[..], b"GET /ow", b"\x16"] {
        let needed = bytes.len() + 1;
        assert_eq!(detector.detect(bytes), Detected::NeedMore { needed });
    }
}
