//! Clients that wait to be accepted.

use super::{
    super::source::{Moment, Source},
    part,
};
use reagent::Addr;
use std::{
    fs::File,
    io::{BufRead, BufReader},
};

/// The clients in the accept queues of the server's TCP listeners, the longest counts, against a
/// number of clients (`rx_queue` in `/proc/net/tcp`, man 5 proc_net).
///
/// Neither closing connections nor a pause relieves it. Only the head of the file is read, where
/// the listening sockets are.
#[derive(Clone, Copy, Debug)]
pub struct AcceptQueue {
    most: u32,
}

impl AcceptQueue {
    /// Creates a source that is at 1 when `most` clients wait: the
    /// [backlog](reagent::SocketOptions::backlog) of the listeners or less.
    pub fn new(most: u32) -> Self {
        AcceptQueue { most }
    }
}

impl Source for AcceptQueue {
    fn name(&self) -> &'static str {
        "accept queue"
    }

    fn sample(&mut self, moment: &Moment<'_>) -> Option<f64> {
        let addrs = moment.server.local_addrs();
        let ports: Vec<u16> = addrs.filter_map(|addr| port(&addr)).collect();
        let longest = ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
            .iter()
            .filter_map(|path| File::open(path).ok())
            // A page has all listeners of most machines.
            .filter_map(|file| longest(BufReader::with_capacity(4096, file), &ports))
            .max()?;
        part(longest, self.most.into())
    }

    fn closing_helps(&self) -> bool {
        false
    }

    fn pausing_helps(&self) -> bool {
        false
    }
}

fn port(addr: &Addr) -> Option<u16> {
    addr.socket_addr().map(|addr| addr.port())
}

/// Returns the length of the longest queue of the sockets that listen on `ports`.
fn longest(table: impl BufRead, ports: &[u16]) -> Option<u64> {
    let rows = table.lines().skip(1).map_while(Result::ok);
    rows.map_while(|row| listener(&row))
        .filter(|(port, _)| ports.contains(port))
        .map(|(_, waiting)| waiting)
        .max()
}

/// Returns the port of a listening socket and the length of its queue; `None` for other sockets,
/// which come after those that listen.
fn listener(row: &str) -> Option<(u16, u64)> {
    const LISTEN: &str = "0A";
    let mut columns = row.split_ascii_whitespace().skip(1);
    let (local, _, state, queues) = (
        columns.next()?,
        columns.next()?,
        columns.next()?,
        columns.next()?,
    );
    if state != LISTEN {
        return None;
    }
    let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    let waiting = u64::from_str_radix(queues.rsplit_once(':')?.1, 16).ok()?;
    Some((port, waiting))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when
   0: 00000000:0050 00000000:0000 0A 00000000:00000007 00:00000000 00000000     0
   1: 0100007F:1F90 00000000:0000 0A 00000000:0000001A 00:00000000 00000000     0
   2: 0100007F:0050 0100007F:D2F0 01 00000000:000000FF 00:00000000 00000000     0
   3: 00000000:0050 00000000:0000 0A 00000000:000000FF 00:00000000 00000000     0
";

    #[test]
    fn the_longest_queue_of_the_own_ports_counts() {
        assert_eq!(longest(TABLE.as_bytes(), &[80]), Some(7));
        assert_eq!(longest(TABLE.as_bytes(), &[80, 8080]), Some(26));
        assert_eq!(longest(TABLE.as_bytes(), &[443]), None);
    }
}
