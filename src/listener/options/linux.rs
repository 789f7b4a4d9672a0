//! Options that exist only on Linux. `elsewhere.rs` refuses them on other systems.

use super::{
    SocketOptions,
    apply::{BYTE, MOST_BYTES, most, set},
};
use socket2::Socket;
use std::{io, time::Duration};

const ADMIN: &str = "; it needs CAP_NET_ADMIN";
const RAW: &str = "; expected the name of an interface, and before Linux 5.7 CAP_NET_RAW";

impl SocketOptions {
    /// Sets the options that must be set before the socket is bound.
    pub(super) fn apply_unbound(&self, socket: &Socket, is_v6: bool) -> io::Result<()> {
        if self.freebind {
            set("IP_FREEBIND", true, "", || match is_v6 {
                true => socket.set_freebind_v6(true),
                false => socket.set_freebind_v4(true),
            })?;
        }
        if self.transparent {
            set("IP_TRANSPARENT", true, ADMIN, || match is_v6 {
                true => socket.set_ip_transparent_v6(true),
                false => socket.set_ip_transparent_v4(true),
            })?;
        }
        Ok(())
    }

    /// Sets the options that a listening socket accepts too.
    pub(super) fn apply_system(&self, socket: &Socket, is_v6: bool) -> io::Result<()> {
        if let Some(device) = &self.device {
            set("SO_BINDTODEVICE", format_args!("{device:?}"), RAW, || {
                socket.bind_device(Some(name(device)?))
            })?;
        }
        if let Some(mark) = self.mark {
            set("SO_MARK", mark, ADMIN, || socket.set_mark(mark))?;
        }
        if let Some(time) = self.user_timeout {
            // Zero means the kernel's default (`tcp(7)`), which is not what a short time means.
            let millis = time.as_nanos().div_ceil(1_000_000);
            let millis = u64::try_from(millis).unwrap_or(u64::MAX);
            set("TCP_USER_TIMEOUT", format_args!("{millis} ms"), "", || {
                socket.set_tcp_user_timeout(Some(Duration::from_millis(millis)))
            })?;
        }
        if let (true, Some(tclass)) = (is_v6, self.tclass) {
            set("IPV6_TCLASS", tclass, BYTE, || {
                socket.set_tclass_v6(most(tclass, 255)?)
            })?;
        }
        if let Some(congestion) = &self.congestion {
            let known = "; see /proc/sys/net/ipv4/tcp_allowed_congestion_control";
            set(
                "TCP_CONGESTION",
                format_args!("{congestion:?}"),
                known,
                || socket.set_tcp_congestion(name(congestion)?),
            )?;
        }
        if let Some(bytes) = self.notsent_lowat {
            set("TCP_NOTSENT_LOWAT", bytes, "", || {
                socket.set_tcp_notsent_lowat(bytes)
            })?;
        }
        if let Some(cpu) = self.incoming_cpu {
            set(
                "SO_INCOMING_CPU",
                cpu,
                "; expected the number of a CPU",
                || socket.set_cpu_affinity(most(cpu, MOST_BYTES)?),
            )?;
        }
        Ok(())
    }
}

/// Refuses names that the system would misread: an empty one means any, and a zero byte ends a
/// name.
fn name(name: &str) -> io::Result<&[u8]> {
    match name.is_empty() || name.contains('\0') {
        true => Err(io::ErrorKind::InvalidInput.into()),
        false => Ok(name.as_bytes()),
    }
}
