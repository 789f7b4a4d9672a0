//! Layers for [`reagent`], the acceptor pool: each stands in a module of its own behind a feature
//! of the same name, and `full` turns all of them on.
//!
//! | what you want | layer | feature |
//! |---|---|---|
//! | time limits: first byte, idle, stalls, least rate, age | `timeout::TimeoutsLayer` | `timeout` |
//!
//! Each module says when you want it, where in the stack it belongs, and which errors it ends a connection
//! with.

// What libraries leave to programs.
#![warn(clippy::print_stdout, clippy::print_stderr)]

#[cfg(feature = "timeout")]
pub mod timeout;
