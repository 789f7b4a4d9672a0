//! Tests of TLS with aws-lc-rs: alone, and with the feature `ring` beside ring.
