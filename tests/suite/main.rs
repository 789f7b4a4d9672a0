//! One module a guarantee; everything through sockets or `MemoryListener`.

#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod program;
mod support;

mod accept_errors;
mod churn;
mod connections;
mod diagnostics;
mod drain;
mod events;
mod examples;
mod examples_http;
mod examples_redis;
mod exhaustion;
mod gateway;
mod handlers;
mod hostile;
mod inherited;
mod limits;
mod lingering;
mod listening;
mod memory;
mod memory_listener;
mod observers;
mod opening;
mod outcomes;
mod payloads;
mod per_core;
mod pool;
mod reach;
mod redis_clients;
mod reuse_port;
mod session;
mod session_flow;
mod socket_options;
mod socks5;
mod survival;
mod tower_layers;
mod unix_sockets;
mod upgrade;
mod upgrade_clones;
mod upgrade_drain;

// What it shows is its tests; `cargo test` builds examples, but does not run theirs.
#[path = "../../examples/testing.rs"]
#[expect(dead_code, reason = "it is a program")]
mod testing_example;
