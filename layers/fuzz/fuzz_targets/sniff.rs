//! Checks any bytes against `properties/sniff.rs`: `.ci/fuzz 60 sniff`, or `cargo fuzz run sniff` in `layers/`.

#![no_main]

#[path = "../properties/sniff.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::check(bytes));
