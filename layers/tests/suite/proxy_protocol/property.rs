//! Properties of all headers and of arbitrary bytes. The cases are the same in every run.

#[path = "../../../fuzz/properties/proxy_protocol.rs"]
mod properties;

use super::{SIGNATURE, proxy, start, trusting};
use crate::support::check;
use proptest::{collection::vec, prelude::*};
use reagent::{Addr, Outcome};
use reagent_layers::proxy_protocol::{Header, Mode, Parsed, Ssl, Tlv, parse};
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
};
use tokio::io::AsyncWriteExt;

fn socket_addr() -> impl Strategy<Value = SocketAddr> {
    any::<(IpAddr, u16)>().prop_map(SocketAddr::from)
}

fn addr() -> impl Strategy<Value = (Addr, Addr)> {
    let path = prop_oneof![
        Just(None),
        "[@/a-z][a-z0-9./_ü-]{1,53}".prop_map(|path| Some(Path::new(&path).into())),
    ];
    let unix = path.prop_map(Addr::Unix);
    prop_oneof![
        (socket_addr(), socket_addr()).prop_map(|(a, b)| (a.into(), b.into())),
        (unix.clone(), unix),
    ]
}

fn ssl() -> impl Strategy<Value = Ssl> {
    let text = || proptest::option::of(".{0,20}");
    let other = vec((0x26u8.., vec(any::<u8>(), 0..9)), 0..3);
    (
        any::<(u8, u32)>(),
        [text(), text(), text(), text(), text()],
        other,
    )
        .prop_map(
            |(
                (client, verify),
                [
                    version,
                    common_name,
                    cipher,
                    signature_algorithm,
                    key_algorithm,
                ],
                other,
            )| Ssl {
                client,
                verify,
                version,
                common_name,
                cipher,
                signature_algorithm,
                key_algorithm,
                other,
            },
        )
}

fn tlv() -> impl Strategy<Value = Tlv> {
    let bytes = || vec(any::<u8>(), 0..129);
    prop_oneof![
        bytes().prop_map(Tlv::Alpn),
        ".{0,40}".prop_map(Tlv::Authority),
        bytes().prop_map(Tlv::UniqueId),
        ssl().prop_map(Tlv::Ssl),
        ".{0,40}".prop_map(Tlv::Netns),
        (0x31u8.., bytes()).prop_map(|(kind, value)| Tlv::Raw { kind, value }),
    ]
}

fn header() -> impl Strategy<Value = Header> {
    let head = prop_oneof![
        4 => (addr(), any::<bool>()).prop_map(|((a, b), is_datagram)| {
            let header = Header::v2(a, b);
            if is_datagram { header.datagram() } else { header }
        }),
        1 => Just(Header::v2_unknown()),
        1 => Just(Header::v2_local()),
    ];
    let with_tlvs = (head, vec(tlv(), 0..5), any::<bool>()).prop_map(|(head, tlvs, sum)| {
        let header = tlvs.into_iter().fold(head, Header::tlv);
        if sum { header.checksum() } else { header }
    });
    prop_oneof![
        1 => (socket_addr(), socket_addr()).prop_map(|(a, b)| Header::v1(a, b)),
        1 => Just(Header::v1_unknown()),
        6 => with_tlvs,
    ]
}

/// Bytes, many of which start like a header.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let line = "PROXY (TCP4|TCP6|UNKNOWN|[ -~]{0,4})( [0-9a-f.:]{0,16}){0,5}[\r\n]{0,2}";
    prop_oneof![
        vec(any::<u8>(), 0..64),
        line.prop_map(String::into_bytes),
        vec(any::<u8>(), 0..300).prop_map(|rest| [SIGNATURE, &rest].concat()),
        (0x1fu8..0x23, 0u8..0x40, 0u16..64, vec(0u8..9, 0..64)).prop_map(
            |(command, family, len, rest)| {
                [SIGNATURE, &[command, family], &len.to_be_bytes(), &rest].concat()
            }
        ),
        // A valid header with one wrong byte.
        (header(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(header, at, byte)| {
            let mut bytes = header.encode().unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        }),
    ]
}

#[test]
fn written_headers_are_read_and_their_prefixes_are_incomplete() {
    check(
        400,
        (header(), vec(any::<u8>(), 0..20)),
        |(header, payload)| {
            let mut bytes = header.encode().unwrap();
            let len = bytes.len();
            bytes.extend(payload);
            prop_assert_eq!(parse(&bytes), Parsed::Done { header, len });
            for cut in 0..len {
                match parse(&bytes[..cut]) {
                    Parsed::Incomplete { needed, .. } => {
                        prop_assert!(cut < needed && needed <= len);
                    }
                    other => prop_assert!(false, "{:?} at {}", other, cut),
                }
            }
            Ok(())
        },
    );
}

#[test]
fn of_any_bytes_each_longer_part_says_no_less() {
    check(3000, bytes(), |bytes| {
        let mut before = parse(&[]);
        for len in 1..=bytes.len() {
            let now = parse(&bytes[..len]);
            match (&before, &now) {
                (Parsed::Incomplete { needed, version }, now) => {
                    if len < *needed {
                        let is_incomplete = matches!(now, Parsed::Incomplete { .. });
                        prop_assert!(is_incomplete || matches!(now, Parsed::Invalid(_)));
                    }
                    if let Parsed::Incomplete {
                        needed: more,
                        version: known,
                    } = now
                    {
                        prop_assert!(len < *more && more >= needed);
                        prop_assert!(version.is_none() || version == known);
                    }
                }
                (Parsed::Done { .. }, now) => prop_assert_eq!(&before, now),
                (Parsed::Invalid(_), now) => {
                    prop_assert!(matches!(now, Parsed::Invalid(_)), "{:?}", now);
                }
            }
            before = now;
        }
        Ok(())
    });
}

#[test]
fn no_bytes_hurt_the_server() {
    check(100, (bytes(), any::<bool>()), |(bytes, is_optional)| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()?;
        runtime.block_on(async {
            let mode = if is_optional {
                Mode::Optional
            } else {
                Mode::Required
            };
            let (_server, clients, mut ends) = start(trusting().mode(mode)).await;
            let mut client = clients.connect_from(proxy()).await.unwrap();
            let _ = client.write_all(&bytes).await;
            let _ = client.shutdown().await;
            let (ended, _) = ends.next().await;
            prop_assert!(!matches!(ended, Outcome::Panicked(_)), "{}", ended);
            Ok(())
        })
    });
}

#[test]
fn what_the_fuzz_target_checks_holds() {
    check(1000, bytes(), |bytes| {
        properties::check(&bytes);
        Ok(())
    });
}

/// What the fuzz target begins with.
#[test]
fn seeds_of_the_fuzz_target_are_what_their_names_say() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/proxy_protocol");
    let mut names = Vec::new();
    for seed in std::fs::read_dir(dir).unwrap() {
        let path = seed.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let parsed = parse(&std::fs::read(&path).unwrap());
        let is_so = match name.split('-').next() {
            Some("good") => matches!(parsed, Parsed::Done { .. }),
            Some("cut") => matches!(parsed, Parsed::Incomplete { .. }),
            Some("bad") => matches!(parsed, Parsed::Invalid(_)),
            _ => true,
        };
        // Files added by a fuzzer have other names.
        assert!(is_so, "{name}: {parsed:?}");
        names.push(name);
    }
    assert!(names.len() >= 10);
}
