//! One module per guarantee. All tests use sockets or `MemoryListener`.

#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod load;
mod port;
mod skipped;
mod support;

mod accept_errors;
mod activity;
mod churn;
mod connections;
#[cfg(target_os = "linux")]
mod descriptors;
mod direct_io;
mod drain;
mod eof_on_drain;
mod error_texts;
mod events;
mod exhaustion;
mod handlers;
#[cfg(unix)]
mod handover;
mod held;
mod hostile;
mod inherited;
mod limits;
mod lingering;
mod listening;
mod live_listeners;
mod memory;
mod memory_listener;
mod observers;
mod opening;
mod outcomes;
mod paused_clock;
mod payloads;
mod per_core;
mod pool;
mod reach;
mod readiness;
mod reuse_port;
mod session;
mod session_flow;
mod shutdown;
mod shutdown_report;
mod shutdown_spread;
mod socket_options;
mod streams;
mod survival;
mod testing_connection;
mod tower_layers;
mod unix_sockets;
mod upgrade;
mod upgrade_clones;
mod upgrade_drain;

// This example is about its tests. `cargo test` builds examples but does not run their tests.
#[path = "../../examples/testing.rs"]
#[expect(dead_code, reason = "it is a program")]
mod testing_example;
