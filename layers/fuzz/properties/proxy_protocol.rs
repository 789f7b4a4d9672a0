//! What holds of any bytes: checked by the fuzz target, and by a property test of the suite.

use reagent_layers::proxy_protocol::{Parsed, Version, parse};

/// Panics if one of the properties does not hold of these bytes.
pub fn check(bytes: &[u8]) {
    match parse(bytes) {
        Parsed::Incomplete { needed, version } => {
            assert!(needed > bytes.len());
            let max = match version {
                None => 12,
                Some(Version::V1) => 107,
                Some(Version::V2) => 16 + usize::from(u16::MAX),
            };
            assert!(needed <= max);
        }
        Parsed::Done { header, len } => {
            assert!(len <= bytes.len());
            // What was read can be written, and read again.
            let written = header.encode().expect("a header that was read");
            let Parsed::Done { header: again, len } = parse(&written) else {
                panic!("{written:?}");
            };
            assert_eq!((again, len), (header, written.len()));
            // A cut makes it incomplete.
            for cut in [0, len / 2, len - 1] {
                assert!(matches!(parse(&written[..cut]), Parsed::Incomplete { .. }));
            }
        }
        Parsed::Invalid(error) => {
            assert!(error.to_string().len() < 300);
            let more = [bytes, b"\r\n"].concat();
            assert!(matches!(parse(&more), Parsed::Invalid(_)));
        }
    }
}
