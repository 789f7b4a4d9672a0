//! Runs what threads share in the core through every order of events, by
//! [loom](https://docs.rs/loom): `cargo test -p reagent-loom`.
//!
//! It compiles the sources of the core as they are, on loom's mutexes and atomics, which a build script
//! selects by `cfg(loom)`. A model ends with a panic at the first order in which an assertion fails, in
//! which all threads wait (a wake-up was lost), or in which memory is leaked.

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
