//! Single guarantees of the pool, one test each.

mod blocked;
mod panics;
mod pausing;
mod queues;
mod room;
mod starting;
mod stopping;
