//! The keepalive options of TCP.

use super::apply::set;
#[cfg(target_os = "openbsd")]
use super::apply::unsupported;
use socket2::{Socket, TcpKeepalive};
use std::{io, time::Duration};

/// The times at which the kernel probes a silent peer (`tcp(7)`). `None` keeps the system's value.
///
/// The kernel counts in whole seconds, so durations are rounded up: 500 ms is one second. Linux
/// accepts 1 to 32,767 seconds and 1 to 127 retries; with other values, the server does not start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keepalive {
    /// `TCP_KEEPIDLE`: the silence before the first probe. The default is the system's, 2 hours on
    /// Linux.
    pub idle: Option<Duration>,
    /// `TCP_KEEPINTVL`: the time between probes. The default is the system's, 75 s on Linux. Not
    /// available on OpenBSD.
    pub interval: Option<Duration>,
    /// `TCP_KEEPCNT`: the number of unanswered probes after which the connection fails. The default
    /// is the system's, 9 on Linux. Not available on OpenBSD.
    pub retries: Option<u32>,
}

impl Keepalive {
    /// Creates options that probe a peer after `idle` of silence, rounded up to whole seconds.
    pub fn after(idle: Duration) -> Self {
        Keepalive {
            idle: Some(idle),
            ..Self::default()
        }
    }

    /// Sets one value at a time, so that an error names the value that was refused.
    pub(super) fn apply(&self, socket: &Socket) -> io::Result<()> {
        set("SO_KEEPALIVE", true, "", || socket.set_keepalive(true))?;
        if let Some(idle) = self.idle.map(whole_seconds) {
            set("TCP_KEEPIDLE", format_args!("{idle:?}"), "", || {
                socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))
            })?;
        }
        if let Some(interval) = self.interval.map(whole_seconds) {
            set("TCP_KEEPINTVL", format_args!("{interval:?}"), "", || {
                set_interval(socket, interval)
            })?;
        }
        if let Some(retries) = self.retries {
            set("TCP_KEEPCNT", retries, "", || set_retries(socket, retries))?;
        }
        Ok(())
    }
}

fn whole_seconds(time: Duration) -> Duration {
    match time.subsec_nanos() {
        0 => time,
        _ => Duration::from_secs(time.as_secs().saturating_add(1)),
    }
}

#[cfg(not(target_os = "openbsd"))]
fn set_interval(socket: &Socket, interval: Duration) -> io::Result<()> {
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_interval(interval))
}

#[cfg(target_os = "openbsd")]
fn set_interval(_: &Socket, _: Duration) -> io::Result<()> {
    Err(unsupported())
}

#[cfg(not(target_os = "openbsd"))]
fn set_retries(socket: &Socket, retries: u32) -> io::Result<()> {
    let Ok(_) = i32::try_from(retries) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_retries(retries))
}

#[cfg(target_os = "openbsd")]
fn set_retries(_: &Socket, _: u32) -> io::Result<()> {
    Err(unsupported())
}
