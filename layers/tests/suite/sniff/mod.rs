//! `SniffLayer`: detects the protocol as early as possible, never reads more than allowed, and
//! loses no bytes.

mod detecting;
pub mod hello;
mod ja4;
mod layer;
mod property;
mod waiting;

use reagent_layers::sniff::{Detected, Protocol, Sniffed, detect};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Returns what is detected in these bytes.
fn sniffed(bytes: &[u8]) -> Sniffed {
    match detect(bytes) {
        Detected::Done(sniffed) => sniffed,
        more => panic!("{more:?} of {}", bytes.escape_ascii()),
    }
}

fn is_unknown(bytes: &[u8]) -> bool {
    *sniffed(bytes).protocol() == Protocol::Unknown
}

fn needed(bytes: &[u8]) -> usize {
    match detect(bytes) {
        Detected::NeedMore { needed } => needed,
        Detected::Done(sniffed) => panic!("{sniffed:?} of {}", bytes.escape_ascii()),
    }
}

/// Returns the server name, and the offered protocols separated by spaces.
fn asked(sniffed: &Sniffed) -> (Option<&str>, String) {
    let alpn: Vec<_> = sniffed.alpn().map(String::from_utf8_lossy).collect();
    (sniffed.server_name(), alpn.join(" "))
}
