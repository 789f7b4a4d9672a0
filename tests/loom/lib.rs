//! Checks the lock-free code of the core under every interleaving, with
//! [loom](https://docs.rs/loom): `cargo test -p reagent-loom`.
//!
//! The sources of the core are compiled unchanged, with loom's mutexes and atomics, which a build
//! script selects with `cfg(loom)`. A model panics at the first interleaving in which an assertion
//! fails, all threads wait (a wake-up was lost), or memory is leaked.

#![cfg(test)]
#![expect(dead_code, reason = "the core uses the rest")]

#[path = "../../src/limit/mod.rs"]
pub mod limit;
#[path = "../../src/sync/mod.rs"]
mod sync;

mod limits;
mod note;
mod open_count;
mod waker;
