//! The example programs, each run as a process, with common clients and proxies, and the admin page
//! in a browser.

#![expect(unreachable_pub, reason = "a test binary has no outside")]

#[path = "../suite/descriptors.rs"]
mod descriptors;
#[path = "../suite/port.rs"]
mod port;
mod program;
#[path = "../../layers/tests/suite/cluster/redis_server.rs"]
mod redis_server;
#[path = "../suite/skipped.rs"]
mod skipped;
mod support;

mod admin;
mod diagnostics;
mod fleet;
mod gateway;
mod http;
mod migrations;
mod names;
mod pressure;
mod programs;
mod redis;
mod redis_clients;
mod smtp;
mod socks5;
