//! Version 2 (section 2.2 of the specification).

use super::{SIGNATURE, addr, invalid, parsed, v2};
use reagent::Addr;
use reagent_layers::proxy_protocol::{
    Command, EncodeError, Header, Parsed, ProxyProtocolError, SocketKind, Version, parse,
};
use std::path::Path;

/// Builds a header from its command, family, length and remaining bytes.
fn raw(command: u8, family: u8, len: u16, rest: &[u8]) -> Vec<u8> {
    [SIGNATURE, &[command, family], &len.to_be_bytes(), rest].concat()
}

fn unix(path: &str) -> Addr {
    Addr::Unix(Some(Path::new(path).into()))
}

#[test]
fn every_family_and_protocol() {
    let inet = [192, 0, 2, 1, 192, 0, 2, 11, 0xdc, 0x04, 0x01, 0xbb];
    let mut inet6 = [0; 36];
    inet6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    (inet6[15], inet6[31]) = (1, 2);
    inet6[32..].copy_from_slice(&inet[8..]);
    let mut sockets = [0; 216];
    sockets[..13].copy_from_slice(b"/run/app.sock");
    sockets[108..113].copy_from_slice(b"\0name");

    for (family, bytes, source, destination) in [
        (
            0x10,
            &inet[..],
            addr("192.0.2.1:56324").into(),
            addr("192.0.2.11:443").into(),
        ),
        (
            0x20,
            &inet6,
            addr("[2001:db8::1]:56324").into(),
            addr("[::2]:443").into(),
        ),
        (0x30, &sockets, unix("/run/app.sock"), unix("@name")),
    ] {
        for (protocol, kind) in [(1, SocketKind::Stream), (2, SocketKind::Datagram)] {
            let bytes = raw(0x21, family | protocol, bytes.len() as u16, bytes);
            let (header, len) = parsed(&[&bytes, &b"payload"[..]].concat());
            assert_eq!(len, bytes.len());
            assert_eq!(
                (header.version(), header.command()),
                (Version::V2, Command::Proxy)
            );
            assert_eq!(header.source(), Some(source.clone()));
            assert_eq!(header.destination(), Some(destination.clone()));
            assert_eq!(header.socket_kind(), kind);
            assert_eq!(header.encode().unwrap(), bytes);
        }
    }
}

#[test]
fn unix_addresses_are_paths_names_or_nothing() {
    let full = "p".repeat(108);
    for (path, is_same) in [
        ("/a", true),
        ("@abstract", true),
        (&*full, true),
        ("", false),
    ] {
        let (header, _) = parsed(&Header::v2(unix(path), Addr::Unix(None)).encode().unwrap());
        let expected = if is_same {
            unix(path)
        } else {
            Addr::Unix(None)
        };
        assert_eq!(header.source(), Some(expected));
        assert_eq!(header.destination(), Some(Addr::Unix(None)));
    }
    let error = Header::v2(unix(&"p".repeat(109)), unix("/a")).encode();
    assert_eq!(error, Err(EncodeError::UnixPath));
}

#[test]
fn a_name_that_a_sender_writes_with_an_at_sign_is_that_name_and_alone_none() {
    let mut block = [0; 216];
    block[0] = b'@';
    block[108..113].copy_from_slice(b"@name");
    let (header, _) = parsed(&raw(0x21, 0x31, 216, &block));
    assert_eq!(header.source(), Some(Addr::Unix(None)));
    assert_eq!(header.destination(), Some(unix("@name")));
    let (again, _) = parsed(&header.encode().unwrap());
    assert_eq!(again, header);
}

#[test]
fn local_is_taken_whatever_its_block_is() {
    for (family, rest) in [
        (0x00, &b""[..]),
        (0x11, b""),
        (0x11, &[1; 12]),
        (0x31, b"short"),
        (0xff, b"nonsense"),
        (0x00, &[0xe0, 0xff, 0xff]),
    ] {
        let bytes = raw(0x20, family, rest.len() as u16, rest);
        let (header, len) = parsed(&[&bytes, &b"payload"[..]].concat());
        assert_eq!(header, Header::v2_local());
        assert_eq!(len, bytes.len());
    }
    let tlv = [0xea, 0, 2, 1, b'v'];
    let (header, _) = parsed(&raw(0x20, 0, 5, &tlv));
    assert_eq!(header.raw(0xea), Some(&b"\x01v"[..]));
}

#[test]
fn unspecified_addresses_are_ignored() {
    for family in [0x00, 0x01, 0x02, 0x10, 0x20, 0x30] {
        let (header, len) = parsed(&raw(0x21, family, 4, &[0xe0, 0, 1, 7]));
        assert_eq!(
            (header.source(), header.destination(), len),
            (None, None, 20)
        );
    }
    let (header, _) = parsed(&raw(0x21, 0, 4, &[0xe0, 0, 1, 7]));
    assert_eq!(header.raw(0xe0), Some(&[7][..]));
    // A header cannot represent other kinds of addresses, nor a pair of different kinds.
    for pair in [
        Header::v2(Addr::Other("x".into()), addr("192.0.2.1:1")),
        Header::v2(unix("/a"), addr("192.0.2.1:1")),
    ] {
        assert_eq!(pair, Header::v2_unknown());
    }
}

#[test]
fn wrong_bytes_are_refused_as_soon_as_they_are_there() {
    for (bytes, expected) in [
        (raw(0x11, 0x11, 12, &[]), "0x20 (LOCAL) or 0x21 (PROXY)"),
        (raw(0x22, 0x11, 12, &[]), "0x20 (LOCAL) or 0x21 (PROXY)"),
        (raw(0x21, 0x41, 12, &[]), "a known family"),
        (raw(0x21, 0x13, 12, &[]), "a known family"),
        (raw(0x21, 0x11, 11, &[]), "holds the addresses"),
        (raw(0x21, 0x22, 35, &[]), "holds the addresses"),
        (raw(0x21, 0x31, 215, &[]), "holds the addresses"),
    ] {
        let error = invalid(&bytes).to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(matches!(
        parse(&raw(0x21, 0x41, 0, &[])[..13]),
        Parsed::Incomplete { .. }
    ));
    assert!(matches!(
        parse(&raw(0x21, 0x41, 0, &[])[..14]),
        Parsed::Invalid(_)
    ));
}

#[test]
fn it_says_how_much_is_missing() {
    let bytes = v2().pad_to(300).encode().unwrap();
    for (len, needed) in [(0, 1), (11, 12), (12, 16), (15, 16), (16, 300), (299, 300)] {
        match parse(&bytes[..len]) {
            Parsed::Incomplete { needed: n, version } => {
                assert_eq!((n, version.is_some()), (needed, len >= 12));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn bytes_of_other_protocols_are_no_header() {
    for (bytes, got) in [
        (
            &b"GET / HTTP/1.1\r\nHost: a.example\r\n"[..],
            "\"GET / HTTP/1.1\\r\\nHost: a.\"…",
        ),
        (b"\x16\x03\x01", "\"\\x16\\x03\\x01\""),
        (b"PROXYING", "\"PROXYING\""),
        (b"\r\n\r\nGET", "\"\\r\\n\\r\\nGET\""),
        (b"\0", "\"\\x00\""),
    ] {
        let error = invalid(bytes);
        assert!(matches!(error, ProxyProtocolError::NotAHeader { .. }));
        assert!(
            error.to_string().ends_with(&format!("got {got}")),
            "{error}"
        );
    }
}

#[test]
fn mapped_addresses_are_ipv4_in_both_directions() {
    let mapped = Header::v2(addr("[::ffff:192.0.2.1]:1"), addr("[::ffff:192.0.2.2]:2"));
    let bytes = mapped.encode().unwrap();
    assert_eq!((bytes[13], bytes.len()), (0x11, 28));
    assert_eq!(&bytes[16..20], [192, 0, 2, 1]);
    assert_eq!(parsed(&bytes).0, mapped);
    // The header of another sender that writes them as IPv6.
    let ip = |last| [&[0; 10][..], &[0xff, 0xff, 192, 0, 2, last]].concat();
    let fixed = [SIGNATURE, &[0x21, 0x21, 0, 36]].concat();
    let bytes = [fixed, ip(1), ip(2), vec![0, 1, 0, 2]].concat();
    assert_eq!(parsed(&bytes), (mapped, 52));
}

#[test]
fn of_two_families_both_are_written_as_ipv6_and_read_as_they_were() {
    let mixed = Header::v2(addr("192.0.2.1:1"), addr("[2001:db8::2]:2"));
    let bytes = mixed.encode().unwrap();
    assert_eq!((bytes[13], bytes.len()), (0x21, 52));
    let (header, _) = parsed(&bytes);
    assert_eq!(header.source().unwrap(), addr("192.0.2.1:1"));
    assert_eq!(header.destination().unwrap(), addr("[2001:db8::2]:2"));
}
