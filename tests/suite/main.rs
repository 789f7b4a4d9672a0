//! One module a guarantee; everything through sockets or `MemoryListener`.

#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod examples;
mod listening;
mod per_core;
mod pool;
mod reuse_port;
mod socket_options;
mod support;

// What it shows is its tests; `cargo test` builds examples, but does not run theirs.
#[path = "../../examples/testing.rs"]
#[expect(dead_code, reason = "it is a program")]
mod testing_example;
