//! Refusing new clients at a listening TCP socket whose queue is still to be emptied.

use socket2::SockRef;
use std::io;

/// Drops the first packet of every new client, which therefore tries again, and is refused once the
/// socket is closed. Handshakes that have begun are completed.
///
/// Closing a listening socket resets the clients in its queue, and no call empties the queue and
/// closes it at once. HAProxy's users solved this for reloads by a rule of their firewall; a filter
/// of the socket needs no privilege.
#[cfg(target_os = "linux")]
pub(super) fn drop_syn(socket: &SockRef<'_>) -> io::Result<()> {
    use socket2::SockFilter;

    /// The offset of the flags in a TCP header (RFC 9293), where the filter's packets begin.
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
    const JUMP_IF_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

    socket.attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(JUMP_IF_SET, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

#[cfg(not(target_os = "linux"))]
pub(super) fn drop_syn(_: &SockRef<'_>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
