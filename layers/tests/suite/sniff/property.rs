//! Properties of arbitrary bytes in arbitrary pieces. The cases are the same in every run, and the
//! properties are those of the fuzz target.

#[path = "../../../fuzz/properties/sniff.rs"]
mod properties;

use super::{
    PREFACE, PROXY_V2,
    hello::{alpn, extension, message, names, records},
};
use crate::support::check;
use proptest::{collection::vec, prelude::*};
use reagent_layers::sniff::{Detected, Detector, Protocol};
use std::path::Path;

fn detectors() -> [(usize, Detector); 3] {
    let own = || Detector::new().prefix("own", b"GET /own");
    [
        (16 * 1024, Detector::new()),
        (16 * 1024, own()),
        (120, own().max_len(120)),
    ]
}

fn one_extension() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-zA-Z0-9._-]{0,40}".prop_map(|name| names(&[&name])),
        vec("[a-z0-9/.]{0,8}", 0..4).prop_map(|list| {
            let list: Vec<_> = list.iter().map(String::as_str).collect();
            alpn(&list)
        }),
        (any::<u16>(), vec(any::<u8>(), 0..60)).prop_map(|(kind, data)| extension(kind, &data)),
    ]
}

fn client_hello() -> impl Strategy<Value = Vec<u8>> {
    (vec(one_extension(), 0..5), 1usize..300)
        .prop_map(|(extensions, size)| records(&message(&extensions.concat()), size))
}

/// Bytes, many of which start like a known protocol.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        PREFACE,
        PROXY_V2,
        b"PROXY ",
        b"SSH-2",
        b"GET /own",
        b"PROPFIND ",
        b"REPORT /x HTTP/1.1",
        b"\x16\x03\x01\x00\x40\x01\x00\x00",
    ]);
    prop_oneof![
        2 => client_hello(),
        // Valid bytes with one wrong byte.
        4 => (client_hello(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
            |(mut bytes, at, byte)| {
                let at = at.index(bytes.len());
                bytes[at] = byte;
                bytes
            }
        ),
        1 => (known, 0usize..30, vec(any::<u8>(), 0..80)).prop_map(|(known, len, rest)| {
            [&known[..len.min(known.len())], &rest].concat()
        }),
        1 => vec(any::<u8>(), 0..64),
    ]
}

#[test]
fn a_decision_is_final_and_never_needs_more_than_the_bound() {
    check(2000, bytes(), |bytes| {
        for (max_len, detector) in detectors() {
            let mut before = Detected::NeedMore { needed: 0 };
            for len in 0..=bytes.len() {
                let now = detector.detect(&bytes[..len]);
                match (&before, &now) {
                    (Detected::Done(_), now) => prop_assert_eq!(&before, now),
                    (Detected::NeedMore { needed }, Detected::Done(sniffed)) => {
                        let is_unknown = *sniffed.protocol() == Protocol::Unknown;
                        prop_assert!(len >= *needed || is_unknown, "{:?}", sniffed);
                    }
                    (Detected::NeedMore { needed: least }, Detected::NeedMore { needed }) => {
                        prop_assert!(len < *needed && least <= needed && *needed <= max_len);
                    }
                }
                before = now;
            }
        }
        Ok(())
    });
}

#[test]
fn in_pieces_it_is_what_it_is_as_a_whole() {
    let pieces = vec(1usize..200, 1..40);
    check(1000, (bytes(), pieces), |(bytes, pieces)| {
        for (_, detector) in detectors() {
            let whole = detector.detect(&bytes);
            let (mut len, mut pieces) = (0, pieces.iter().cycle());
            let found = loop {
                let now = detector.detect(&bytes[..len]);
                match now {
                    Detected::NeedMore { needed } if needed <= bytes.len() => {
                        while len < needed {
                            len = (len + pieces.next().unwrap()).min(bytes.len());
                        }
                    }
                    now => break now,
                }
            };
            match (found, &whole) {
                // The missing bytes could still make it a known protocol.
                (Detected::NeedMore { .. }, Detected::Done(sniffed)) => {
                    prop_assert_eq!(sniffed.protocol(), &Protocol::Unknown);
                }
                (Detected::NeedMore { .. }, Detected::NeedMore { .. }) => {}
                (found, whole) => prop_assert_eq!(&found, whole),
            }
        }
        Ok(())
    });
}

#[test]
fn any_token_with_a_capital_a_target_and_a_version_is_http() {
    let method = "[A-Z][!#$%&'*+.^_`|~0-9a-zA-Z-]{0,31}";
    let target = "[!-~\u{a0}-\u{ff}]{1,60}";
    check(2000, (method, target, "[0-9]", ".{0,20}"), |parts| {
        let (method, target, minor, rest) = parts;
        // These would be detected as other protocols.
        prop_assume!(method != "PROXY" && !method.starts_with("SSH-"));
        prop_assume!(!(method == "PRI" && target == "*"));
        let bytes = format!("{method} {target} HTTP/1.{minor}{rest}");
        let found = super::sniffed(bytes.as_bytes());
        prop_assert_eq!(found.protocol(), &Protocol::Http1);
        Ok(())
    });
}

#[test]
fn a_line_that_is_no_request_is_unknown_at_its_end_at_the_latest() {
    let words = vec("[!-~]{1,12}", 1..5);
    check(2000, (words, "\r?\n"), |(words, end)| {
        let line = words.join(" ") + &end;
        let is_known = |word: &str| {
            let methods = "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH PROPFIND PROPPATCH \
                           MKCOL COPY MOVE LOCK UNLOCK PROXY";
            methods.split_whitespace().any(|known| known == word) || word.starts_with("SSH-")
        };
        prop_assume!(!is_known(&words[0]));
        prop_assume!(!words.get(2).is_some_and(|word| word.starts_with("HTTP/1.")));
        prop_assert!(super::is_unknown(line.as_bytes()));
        Ok(())
    });
}

#[test]
fn the_contents_of_a_hello_are_found_however_it_is_split_into_records() {
    let name = "[a-z][a-z0-9-]{0,20}(\\.[a-z0-9]{1,9}){0,3}";
    let list = vec("[a-z0-9/.]{1,12}", 1..5);
    let other = (100u16.., vec(any::<u8>(), 0..200));
    check(
        400,
        (name, list, other, 1usize..400),
        |(name, list, (kind, data), size)| {
            let list: Vec<_> = list.iter().map(String::as_str).collect();
            let extensions = [alpn(&list), extension(kind, &data), names(&[&name])];
            let bytes = records(&message(&extensions.concat()), size);
            let found = super::sniffed(&bytes);
            prop_assert_eq!(super::asked(&found), (Some(&*name), list.join(" ")));
            Ok(())
        },
    );
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
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/sniff");
    let [_, (_, detector), _] = detectors();
    let mut names = Vec::new();
    for seed in std::fs::read_dir(dir).unwrap() {
        let path = seed.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let found = match detector.detect(&std::fs::read(&path).unwrap()) {
            Detected::NeedMore { .. } => "cut".to_owned(),
            Detected::Done(sniffed) => sniffed.protocol().as_str().replace('/', ""),
        };
        // Files added by a fuzzer have other names.
        if let Some((said, _)) = name.split_once('-') {
            assert_eq!(said, found, "{name}");
            names.push(name);
        }
    }
    assert!(names.len() >= 15);
}
