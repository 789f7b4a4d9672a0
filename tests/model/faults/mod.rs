//! Tests of single guarantees of the pool.

mod blocked;
mod panics;
mod pausing;
mod queues;
mod room;
mod starting;
mod stopping;
