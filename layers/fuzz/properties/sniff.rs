//! What holds of any bytes: checked by the fuzz target, and by a property test of the suite.

use reagent_layers::sniff::{Detected, Detector, Protocol, Sniffed, detect};
use std::sync::LazyLock;

/// With a prefix that goes before a method, and that where little may be looked at.
static DETECTORS: LazyLock<[(usize, Detector); 2]> = LazyLock::new(|| {
    let own = || Detector::new().prefix("own", b"GET /own");
    [(16 * 1024, own()), (200, own().max_len(200))]
});

fn is_unknown(sniffed: &Sniffed) -> bool {
    *sniffed.protocol() == Protocol::Unknown
}

fn bounded(sniffed: &Sniffed, len: usize) {
    assert!(
        sniffed
            .server_name()
            .is_none_or(|name| !name.is_empty() && name.len() <= 253)
    );
    assert!(sniffed.alpn().map(|name| name.len() + 1).sum::<usize>() < len.max(1));
    assert!(sniffed.alpn().all(|name| !name.is_empty()));
    if *sniffed.protocol() != Protocol::Tls {
        assert!(sniffed.server_name().is_none() && sniffed.alpn().next().is_none());
    }
}

/// All that may be received piece by piece, as the layer does it.
fn in_pieces(detector: &Detector, bytes: &[u8], piece: usize) -> Detected {
    let mut len = 0;
    loop {
        let seen = detector.detect(&bytes[..len]);
        let Detected::NeedMore { needed } = seen else {
            return seen;
        };
        while len < needed {
            if len == bytes.len() {
                return seen;
            }
            len = (len + piece).min(bytes.len());
        }
    }
}

/// Panics if one of the properties does not hold of these bytes.
pub fn check(bytes: &[u8]) {
    assert_eq!(detect(bytes), Detector::new().detect(bytes));
    for (max_len, detector) in &*DETECTORS {
        let whole = detector.detect(bytes);
        match &whole {
            Detected::Done(sniffed) => {
                bounded(sniffed, bytes.len());
                let more = [bytes, b"\x16\x03\x01GET "].concat();
                assert_eq!(detector.detect(&more), whole);
            }
            Detected::NeedMore { needed } => assert!(bytes.len() < *needed && needed <= max_len),
        }
        // Each longer part says no less, and nothing but that it is unknown before it was to be looked at again.
        let mut before = Detected::NeedMore { needed: 0 };
        let dense = 0..=bytes.len().min(100);
        let sparse = (100..bytes.len()).step_by(1 + bytes.len() / 50);
        for len in dense.chain(sparse) {
            let now = detector.detect(&bytes[..len]);
            match (&before, &now) {
                (Detected::Done(_), now) => assert_eq!(before, *now),
                (Detected::NeedMore { needed }, Detected::Done(sniffed)) => {
                    assert!(len >= *needed || is_unknown(sniffed));
                }
                (Detected::NeedMore { needed: least }, Detected::NeedMore { needed }) => {
                    assert!(len < *needed && least <= needed && needed <= max_len);
                }
            }
            before = now;
        }
        for piece in [7, 1400] {
            match (in_pieces(detector, bytes, piece), &whole) {
                (Detected::Done(sniffed), whole) => {
                    assert_eq!(Detected::Done(sniffed), *whole);
                }
                // It was not yet worth to look.
                (Detected::NeedMore { .. }, Detected::Done(sniffed)) => {
                    assert!(is_unknown(sniffed));
                }
                (Detected::NeedMore { .. }, Detected::NeedMore { .. }) => {}
            }
        }
    }
}
