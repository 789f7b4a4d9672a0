//! Several upstreams, on a network that exists in memory only.

mod balance;
mod checks;
mod ejection;
mod hash;
mod kit;
mod limits;
mod members;
mod retries;
mod simulation;
