//! A connection at one moment.

use super::Phase;
use crate::addr::Addr;
use std::time::Duration;
use tokio::time::Instant;

/// What was known of a connection at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Its number.
    pub id: u64,
    /// The client: what a PROXY header named, else `socket_addr`.
    pub peer_addr: Addr,
    /// The other end of the socket.
    pub socket_addr: Addr,
    /// The address that the listener it came in by listens on.
    pub listener_addr: Addr,
    /// When it was accepted.
    pub accepted_at: Instant,
    /// How long ago that was.
    pub age: Duration,
    /// How far it has come.
    pub phase: Phase,
    /// Bytes that came in by the socket.
    pub bytes_read: u64,
    /// Bytes that went out by the socket.
    pub bytes_written: u64,
    /// Whether a layer has encrypted it.
    pub is_secure: bool,
    /// Whether it has been told to finish.
    pub is_draining: bool,
    /// What layers and handlers said of it, in that order: see
    /// [`Connection::label`](crate::Connection::label).
    pub labels: Vec<(&'static str, String)>,
}
