//! Connections to upstreams.

mod places;
mod race;
