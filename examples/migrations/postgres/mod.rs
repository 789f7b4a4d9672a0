//! The client side of a PostgreSQL pooler.

pub mod after;
pub mod before;
mod client;
