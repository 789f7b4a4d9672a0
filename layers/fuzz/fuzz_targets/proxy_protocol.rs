//! Checks any bytes against `properties/proxy_protocol.rs`: `.ci/fuzz 60 proxy_protocol`, or `cargo fuzz run proxy_protocol` in `layers/`.

#![no_main]

#[path = "../properties/proxy_protocol.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::check(bytes));
