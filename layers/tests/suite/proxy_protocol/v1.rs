//! Version 1 (section 2.1 of the specification).

use super::{V1, addr, invalid, parsed};
use reagent::Addr;
use reagent_layers::proxy_protocol::{Command, Header, Parsed, ProxyProtocolError, Version, parse};

#[test]
fn the_examples_of_the_specification() {
    let (header, len) =
        parsed(b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n");
    assert_eq!(len, 47);
    assert_eq!(
        header,
        Header::v1(addr("192.168.0.1:56324"), addr("192.168.0.11:443"))
    );
    assert_eq!(
        (header.version(), header.command()),
        (Version::V1, Command::Proxy)
    );

    let longest = "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n";
    let (header, len) = parsed(longest.as_bytes());
    assert_eq!(len, 56);
    assert_eq!(header.destination().unwrap(), addr("255.255.255.255:65535"));
    assert_eq!(header.encode().unwrap(), longest.as_bytes());

    let ip = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!("PROXY TCP6 {ip} {ip} 65535 65535\r\n");
    let (header, len) = parsed(longest.as_bytes());
    assert_eq!(len, 104);
    assert_eq!(header.source().unwrap(), addr(&format!("[{ip}]:65535")));
    assert_eq!(header.encode().unwrap(), longest.as_bytes());

    assert_eq!(parsed(b"PROXY UNKNOWN\r\n"), (Header::v1_unknown(), 15));
    let longest = format!("PROXY UNKNOWN {ip} {ip} 65535 65535\r\n");
    assert_eq!(parsed(longest.as_bytes()), (Header::v1_unknown(), 107));
}

#[test]
fn anything_after_unknown_is_ignored() {
    for line in ["PROXY UNKNOWN \r\n", "PROXY UNKNOWN a b\rc\nd \r\n"] {
        let (header, len) = parsed(format!("{line}payload\r\n").as_bytes());
        assert_eq!(
            (header.source(), header.destination(), len),
            (None, None, line.len())
        );
    }
    let error = invalid(b"PROXY UNKNOWNS\r\n").to_string();
    assert!(error.contains("a space or CR LF"), "{error}");
}

#[test]
fn ipv6_is_read_in_every_form_and_written_in_one() {
    let line = b"PROXY TCP6 2001:DB8:0:0::1 ::ffff:192.0.2.1 1 0\r\n";
    let (header, _) = parsed(line);
    assert_eq!(header.source().unwrap(), addr("[2001:db8::1]:1"));
    assert_eq!(
        header.encode().unwrap(),
        b"PROXY TCP6 2001:db8::1 ::ffff:c000:201 1 0\r\n"
    );
    // A header has a single family.
    let mixed = Header::v1(addr("192.0.2.1:1"), addr("[2001:db8::1]:2"));
    assert_eq!(
        mixed.encode().unwrap(),
        b"PROXY TCP6 ::ffff:c000:201 2001:db8::1 1 2\r\n"
    );
}

/// Written by nginx for a client of one family on a connection of the other.
#[test]
fn each_address_is_of_a_family_by_itself() {
    for (line, source, destination) in [
        (
            "TCP6 2001:db8::1 127.0.0.1 56324 443",
            "[2001:db8::1]:56324",
            "127.0.0.1:443",
        ),
        (
            "TCP6 192.0.2.1 2001:db8::2 1 2",
            "192.0.2.1:1",
            "[2001:db8::2]:2",
        ),
        (
            "TCP4 192.0.2.1 2001:db8::2 1 2",
            "192.0.2.1:1",
            "[2001:db8::2]:2",
        ),
        (
            "TCP4 2001:db8::1 192.0.2.2 1 2",
            "[2001:db8::1]:1",
            "192.0.2.2:2",
        ),
    ] {
        let (header, _) = parsed(format!("PROXY {line}\r\n").as_bytes());
        assert_eq!(header.source().unwrap(), addr(source), "{line}");
        assert_eq!(header.destination().unwrap(), addr(destination), "{line}");
        // It is forwarded with a single family.
        let written = header.encode().unwrap();
        assert!(written.starts_with(b"PROXY TCP6 "), "{line}");
        assert_eq!(parsed(&written), (header, written.len()));
    }
}

#[test]
fn mapped_addresses_are_read_and_written_as_ipv4() {
    let mapped = Header::v1(addr("[::ffff:192.0.2.1]:1"), addr("[::ffff:192.0.2.2]:2"));
    let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
    assert_eq!(mapped.encode().unwrap(), line);
    let half = Header::v1(addr("[::ffff:192.0.2.1]:1"), addr("192.0.2.2:2"));
    assert_eq!(half.encode().unwrap(), line);
    let (header, _) = parsed(b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c000:202 1 2\r\n");
    assert_eq!(header, mapped);
    assert_eq!(header.source().unwrap(), addr("192.0.2.1:1"));
    assert_eq!(header.destination().unwrap(), addr("192.0.2.2:2"));
}

#[test]
fn bad_fields_are_refused_and_shown() {
    for (line, expected, got) in [
        (
            "TCP4 256.0.0.1 192.0.2.1 1 2",
            "an IPv4 address",
            "\"256.0.0.1\"",
        ),
        (
            "TCP4 192.0.2.01 192.0.2.1 1 2",
            "an IPv4 address",
            "\"192.0.2.01\"",
        ),
        (
            "TCP4 192.0.2 192.0.2.1 1 2",
            "an IPv4 address",
            "\"192.0.2\"",
        ),
        ("TCP4 ::1 ::1 1 2", "an IPv4 address", "\"::1\""),
        (
            "TCP6 192.0.2.1 192.0.2.2 1 2",
            "an IPv6 address",
            "\"192.0.2.1\"",
        ),
        ("TCP6 ::1 1::2::3 1 2", "an IPv6 address", "\"1::2::3\""),
        (
            "TCP6 fe80::1%lo ::1 1 2",
            "an IPv6 address",
            "\"fe80::1%lo\"",
        ),
        ("TCP4 192.0.2.1 192.0.2.2 65536 2", "a port", "\"65536\""),
        ("TCP4 192.0.2.1 192.0.2.2 1 02", "a port", "\"02\""),
        ("TCP4 192.0.2.1 192.0.2.2 00 2", "a port", "\"00\""),
        ("TCP4 192.0.2.1 192.0.2.2 +1 2", "a port", "\"+1\""),
        ("TCP4 192.0.2.1 192.0.2.2 -1 2", "a port", "\"-1\""),
        ("TCP4 192.0.2.1 192.0.2.2  2", "a port", "\"\""),
        ("TCP4 192.0.2.1 192.0.2.2 1 2\n", "a port", "\"2\\n\""),
        (
            "TCP4 192.0.2.1 192.0.2.2 1 2 3",
            "two ports",
            "\"TCP4 192.0.2.1 192.0.2.2\"…",
        ),
        (
            "TCP4 192.0.2.1 192.0.2.2 1",
            "two ports",
            "\"TCP4 192.0.2.1 192.0.2.2\"…",
        ),
        (
            "TCP4  192.0.2.1 192.0.2.2 1 2",
            "two ports",
            "\"TCP4  192.0.2.1 192.0.2.\"…",
        ),
        (
            "TCP4 192.0.2.\u{e9} 192.0.2.2 1 2",
            "an IPv4 address",
            "\"192.0.2.\\xc3\\xa9\"",
        ),
        (
            "TCP5 192.0.2.1 192.0.2.2 1 2",
            "\"TCP6 \"",
            "\"TCP5 192.0.2.1 192.0.2.2",
        ),
        ("tcp4 192.0.2.1 192.0.2.2 1 2", "\"TCP4 \"", "\"tcp4 "),
    ] {
        let error = invalid(format!("PROXY {line}\r\n").as_bytes()).to_string();
        assert!(error.contains(expected), "{line}: {error}");
        assert!(error.contains(&format!("got {got}")), "{line}: {error}");
    }
}

#[test]
fn only_cr_lf_ends_it() {
    let line = V1.strip_suffix(b"\r\n").unwrap();
    for end in ["\n", "\r", "\n\r"] {
        let bytes = [line, end.as_bytes()].concat();
        assert!(
            matches!(parse(&bytes), Parsed::Incomplete { .. }),
            "{end:?}"
        );
        let bytes = [&bytes, V1].concat();
        assert!(matches!(parse(&bytes), Parsed::Invalid(_)), "{end:?}");
    }
}

#[test]
fn it_ends_within_107_bytes() {
    let line = |len: usize| format!("PROXY UNKNOWN {:len$}\r\n", "", len = len - 16);
    assert_eq!(parsed(line(107).as_bytes()).1, 107);
    let long = line(108);
    for len in [107, 108] {
        let error = invalid(&long.as_bytes()[..len]);
        assert!(
            matches!(error, ProxyProtocolError::TooLong { max: 107, .. }),
            "{error}"
        );
    }
    let cut = parse(&long.as_bytes()[..106]);
    assert!(
        matches!(cut, Parsed::Incomplete { needed: 107, .. }),
        "{cut:?}"
    );
}

#[test]
fn it_cannot_say_what_only_version_2_can() {
    let header = || Header::v1(addr("192.0.2.1:1"), addr("192.0.2.2:2"));
    for header in [
        header().checksum(),
        header().datagram(),
        header().pad_to(200),
    ] {
        let error = header.encode().unwrap_err().to_string();
        assert!(error.contains("use version 2"), "{error}");
    }
    assert_eq!(Header::v1_unknown().encode().unwrap(), b"PROXY UNKNOWN\r\n");
    assert_eq!(Header::v1_unknown().source(), None::<Addr>);
}
