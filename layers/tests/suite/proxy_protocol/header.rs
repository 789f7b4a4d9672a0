//! The contents of version 2 headers besides addresses.

use super::{SIGNATURE, invalid, parsed, v2};
use reagent_layers::proxy_protocol::{EncodeError, Header, ProxyProtocolError, Ssl, Tlv};

fn ssl() -> Ssl {
    Ssl {
        client: 0x07,
        verify: 0,
        version: Some("TLSv1.3".into()),
        common_name: Some("exämple".into()),
        cipher: Some("ECDHE-RSA-AES128-GCM-SHA256".into()),
        signature_algorithm: Some("RSA-SHA256".into()),
        key_algorithm: Some("RSA2048".into()),
        other: vec![(0x2f, vec![1, 2])],
    }
}

/// Builds a header with these bytes as its TLVs.
fn with(tlvs: &[u8]) -> Vec<u8> {
    let mut bytes = v2().encode().unwrap();
    bytes.extend(tlvs);
    let len = (bytes.len() - 16) as u16;
    bytes[14..16].copy_from_slice(&len.to_be_bytes());
    bytes
}

#[test]
fn tlvs_come_back_as_they_were() {
    let header = v2()
        .tlv(Tlv::Alpn(b"h2".to_vec()))
        .tlv(Tlv::Authority("example.com".into()))
        .tlv(Tlv::UniqueId(vec![7; 128]))
        .tlv(Tlv::Ssl(ssl()))
        .tlv(Tlv::Netns("blue".into()))
        .tlv(Tlv::Raw {
            kind: Tlv::AWS,
            value: b"\x01vpce-08d2bf15fac5001c9".to_vec(),
        })
        .tlv(Tlv::Raw {
            kind: Tlv::AZURE,
            value: vec![1, 0, 0, 0, 9],
        })
        .tlv(Tlv::Raw {
            kind: 0xf0,
            value: Vec::new(),
        });
    let bytes = header.encode().unwrap();
    assert_eq!(parsed(&bytes), (header.clone(), bytes.len()));
    assert_eq!(header.alpn(), Some(&b"h2"[..]));
    assert_eq!(header.authority(), Some("example.com"));
    assert_eq!(header.unique_id(), Some(&[7; 128][..]));
    assert_eq!(header.netns(), Some("blue"));
    assert_eq!(header.ssl(), Some(&ssl()));
    assert_eq!(header.raw(Tlv::AWS).unwrap()[0], 1);
    assert_eq!(header.raw(Tlv::GCP), None);
    assert_eq!(header.tlvs().len(), 8);
}

#[test]
fn the_flags_of_ssl() {
    let of = |client, verify| Ssl {
        client,
        verify,
        ..Ssl::default()
    };
    let facts = |ssl: Ssl| {
        (
            ssl.is_tls(),
            ssl.has_certificate(),
            ssl.has_session_certificate(),
            ssl.is_verified(),
        )
    };
    assert_eq!(facts(of(0, 0)), (false, false, false, false));
    assert_eq!(facts(of(1, 0)), (true, false, false, false));
    assert_eq!(facts(of(3, 0)), (true, true, false, true));
    assert_eq!(facts(of(5, 0)), (true, false, true, true));
    assert_eq!(facts(of(7, 10)), (true, true, true, false));
}

#[test]
fn the_bytes_of_an_ssl_tlv() {
    let bytes = with(&[
        0x20, 0, 12, 1, 0, 0, 0, 2, 0x21, 0, 4, b'T', b'L', b'S', b'1',
    ]);
    let (header, _) = parsed(&bytes);
    let ssl = header.ssl().unwrap();
    assert_eq!((ssl.client, ssl.verify), (1, 2));
    assert_eq!(ssl.version.as_deref(), Some("TLS1"));
    assert_eq!(header.encode().unwrap(), bytes);
}

#[test]
fn tlvs_that_are_not_text_or_are_given_twice_are_kept() {
    let (header, _) = parsed(&with(&[2, 0, 1, 0xff, 2, 0, 1, b'a', 2, 0, 1, b'b']));
    assert_eq!(header.raw(2), Some(&[0xff][..]));
    assert_eq!(header.authority(), Some("a"));
    assert_eq!(header.tlvs().len(), 3);
    let (header, _) = parsed(&with(&[
        0x20, 0, 17, 1, 0, 0, 0, 0, 0x22, 0, 1, 0xff, 0x22, 0, 1, b'a', 0x22, 0, 1, b'b',
    ]));
    let ssl = header.ssl().unwrap();
    assert_eq!(ssl.common_name.as_deref(), Some("a"));
    assert_eq!(ssl.other, [(0x22, vec![0xff]), (0x22, vec![b'b'])]);
}

#[test]
fn incomplete_tlvs_are_refused() {
    for (tlvs, expected) in [
        (&[1][..], "a whole TLV"),
        (&[1, 0], "a whole TLV"),
        (&[1, 0, 1], "a whole TLV"),
        (&[1, 0, 0, 1, 0xff, 0xff, 0], "a whole TLV"),
        (&[0x20, 0, 4, 1, 0, 0, 0], "the SSL TLV"),
        (&[0x20, 0, 6, 1, 0, 0, 0, 0, 0x21], "the SSL TLV"),
        (&[0x20, 0, 8, 1, 0, 0, 0, 0, 0x21, 0, 1], "the SSL TLV"),
        (&[3, 0, 3, 0, 0, 0], "a checksum of four bytes"),
        (&[&[5, 0, 129][..], &[0; 129]].concat(), "at most 128 bytes"),
    ] {
        let error = invalid(&with(tlvs)).to_string();
        assert!(error.contains(expected), "{tlvs:?}: {error}");
    }
}

/// The header of an AWS load balancer, with a VPC endpoint id, a checksum and padding.
#[test]
fn a_packet_with_a_checksum() {
    // The checksum was computed independently of this crate, bit by bit, from the definition in RFC
    // 3720.
    let bytes =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x54\xac\x1f\x07\x71\xac\x1f\x0a\x1f\xc8\xf2\x00\x50\
        \x03\x00\x04\xe8\xd6\x89\x2d\xea\x00\x17\x01vpce-08d2bf15fac5001c9\x04\x00\x24\
        \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let (header, len) = parsed(bytes);
    assert_eq!(len, bytes.len());
    assert!(header.has_checksum());
    assert_eq!(
        header.raw(Tlv::AWS),
        Some(&b"\x01vpce-08d2bf15fac5001c9"[..])
    );
    // Padding is dropped.
    assert_eq!(header.tlvs().len(), 1);

    for at in [13, 16, 31, 40, 70] {
        let mut wrong = bytes.to_vec();
        wrong[at] ^= 1;
        if at == 13 {
            // UDP instead of TCP, which is also valid.
            wrong[at] = 0x12;
        }
        let error = invalid(&wrong);
        assert!(
            matches!(error, ProxyProtocolError::Checksum { .. }),
            "{error}"
        );
    }
}

#[test]
fn a_checksum_is_right_where_it_is_made_and_only_one_is_taken() {
    let bytes = v2()
        .tlv(Tlv::Netns("n".into()))
        .checksum()
        .encode()
        .unwrap();
    assert!(parsed(&bytes).0.has_checksum());
    let sum = &bytes[bytes.len() - 7..];
    let mut twice = [&bytes, sum].concat();
    twice[15] += 7;
    assert!(matches!(
        invalid(&twice),
        ProxyProtocolError::Checksum { .. }
    ));
    // A LOCAL header is ignored, unless it is damaged.
    let mut local = Header::v2_local().checksum().encode().unwrap();
    assert!(parsed(&local).0.has_checksum());
    local[13] = 0xff;
    assert_eq!(parsed(&local).0, Header::v2_local());
    local[13] = 0;
    local[22] ^= 1;
    assert!(matches!(
        invalid(&local),
        ProxyProtocolError::Checksum { .. }
    ));
}

#[test]
fn padding_fills_up() {
    let plain = v2().encode().unwrap().len();
    for (pad_to, len) in [(0, 28), (28, 28), (29, 31), (31, 31), (32, 32), (512, 512)] {
        let bytes = v2().pad_to(pad_to).encode().unwrap();
        assert_eq!(bytes.len(), len);
        let (header, parsed_len) = parsed(&bytes);
        assert_eq!((header, parsed_len), (v2(), len));
        let checked = v2().pad_to(pad_to).checksum().encode().unwrap();
        assert!(parsed(&checked).0.has_checksum());
        assert_eq!(checked.len(), len.max(plain + 7).max(pad_to));
    }
}

#[test]
fn oversized_headers_are_not_written() {
    let raw = |len| Tlv::Raw {
        kind: 0xe1,
        value: vec![0; len],
    };
    assert_eq!(v2().tlv(raw(65_536)).encode(), Err(EncodeError::TooLong));
    assert_eq!(v2().tlv(raw(65_521)).encode(), Err(EncodeError::TooLong));
    let largest = v2().tlv(raw(65_520)).encode().unwrap();
    assert_eq!((largest.len(), parsed(&largest).1), (65_551, 65_551));
    assert!(largest.starts_with(SIGNATURE));
    let id = Tlv::UniqueId(vec![0; 129]);
    assert_eq!(v2().tlv(id).encode(), Err(EncodeError::UniqueId));
}
