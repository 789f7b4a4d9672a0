//! Ports that tests may release and take again. The suites share this file as a module.

use std::{
    fs,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr as InetAddr, TcpListener},
    ops::RangeInclusive,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// A TCP port that belongs to one test, at every address, until this value is dropped.
///
/// A port that the system has chosen belongs to a test only while it is bound. Once it is released,
/// the system may choose it for any other test or outgoing connection. That is why this one is
/// outside the range the system chooses from. The tests of all processes of a network namespace
/// claim a port by an abstract Unix socket with its number, which is gone when the process ends.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _claim: UnixListener,
}

impl Port {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let candidates = candidates();
        let len = u32::from(candidates.end() - candidates.start()) + 1;
        // Processes and tests begin in different places, to avoid ports that were just released.
        let start = std::process::id().wrapping_mul(97);
        for _ in 0..len {
            let offset = start.wrapping_add(COUNT.fetch_add(1, Relaxed)) % len;
            let number = candidates.start() + offset as u16;
            if let Some(port) = Self::claim(number) {
                return port;
            }
        }
        panic!("all ports of {candidates:?} are in use");
    }

    fn claim(number: u16) -> Option<Self> {
        let name = SocketAddr::from_abstract_name(format!("reagent-port-{number}")).unwrap();
        let _claim = UnixListener::bind_addr(&name).ok()?;
        is_free(number).then_some(Port { number, _claim })
    }

    pub fn number(&self) -> u16 {
        self.number
    }

    /// Returns its address on this interface.
    pub fn at(&self, ip: impl Into<IpAddr>) -> InetAddr {
        (ip.into(), self.number).into()
    }

    /// Returns its address on 127.0.0.1.
    pub fn addr(&self) -> InetAddr {
        self.at(Ipv4Addr::LOCALHOST)
    }
}

/// Returns the ports below the range the system chooses from, or above it if there are few below.
fn candidates() -> RangeInclusive<u16> {
    const ENOUGH: u16 = 1000;
    // Well-known services have the ports below.
    const FIRST: u16 = 10_000;
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut range = text.split_whitespace().map(str::parse::<u16>);
    let (Some(Ok(low)), Some(Ok(high))) = (range.next(), range.next()) else {
        return FIRST..=u16::MAX;
    };
    if low >= FIRST + ENOUGH {
        FIRST..=low - 1
    } else if high <= u16::MAX - ENOUGH {
        high + 1..=u16::MAX
    } else {
        // The system may choose every port, so there is only the claim.
        FIRST..=u16::MAX
    }
}

/// Returns whether no stranger has the port, at any address of either family.
fn is_free(port: u16) -> bool {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => return false,
        // It is dropped before the other family is tried. Without IPv6, there is only the other.
        Ok(_) | Err(_) => {}
    }
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}
