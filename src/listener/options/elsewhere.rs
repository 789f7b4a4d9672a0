//! The options of `linux.rs` on other systems, where each of them is refused rather than ignored.

use super::{
    SocketOptions,
    apply::{set, unsupported},
};
use socket2::Socket;
use std::io;

impl SocketOptions {
    pub(super) fn apply_unbound(&self, _: &Socket, _: bool) -> io::Result<()> {
        refuse("IP_FREEBIND", self.freebind)?;
        refuse("IP_TRANSPARENT", self.transparent)
    }

    pub(super) fn apply_system(&self, _: &Socket, is_v6: bool) -> io::Result<()> {
        refuse("SO_BINDTODEVICE", self.device.is_some())?;
        refuse("SO_MARK", self.mark.is_some())?;
        refuse("TCP_USER_TIMEOUT", self.user_timeout.is_some())?;
        refuse("IPV6_TCLASS", is_v6 && self.tclass.is_some())?;
        refuse("TCP_CONGESTION", self.congestion.is_some())?;
        refuse("TCP_NOTSENT_LOWAT", self.notsent_lowat.is_some())?;
        refuse("SO_INCOMING_CPU", self.incoming_cpu.is_some())
    }
}

fn refuse(option: &str, is_asked: bool) -> io::Result<()> {
    match is_asked {
        true => set(
            option,
            "the requested value",
            "; it exists only on Linux",
            || Err(unsupported()),
        ),
        false => Ok(()),
    }
}
