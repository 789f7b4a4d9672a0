//! A snapshot of a connection.

use super::{Phase, Rate};
use crate::addr::Addr;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// A snapshot of what is known about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The number of the connection.
    pub id: u64,
    /// The address of the client: the one that a PROXY header gave, or else `socket_addr`.
    pub peer_addr: Addr,
    /// The address of the other end of the socket. Behind a proxy, this is the proxy.
    pub socket_addr: Addr,
    /// The address of the listener that accepted the connection.
    pub listener_addr: Addr,
    /// The [label](crate::Bind::label) of that listener.
    pub listener_label: Option<Arc<str>>,
    /// The time at which the connection was accepted.
    pub accepted_at: Instant,
    /// The time since the connection was accepted.
    pub age: Duration,
    /// The phase that the connection is in.
    pub phase: Phase,
    /// The number of bytes read from the socket. With TLS, these are the encrypted bytes.
    pub bytes_read: u64,
    /// The number of bytes written to the socket. With TLS, these are the encrypted bytes.
    pub bytes_written: u64,
    /// The bytes per second that the connection moves now: see
    /// [`ConnectionHandle::rate`](crate::ConnectionHandle::rate).
    pub rate: Option<Rate>,
    /// Whether a layer has encrypted the connection.
    pub is_secure: bool,
    /// Whether the connection has been asked to finish.
    pub is_draining: bool,
    /// The labels that layers and the handler have set, in the order of the first call for each
    /// key: see [`Connection::label`](crate::Connection::label).
    pub labels: Vec<(&'static str, String)>,
}
