//! A race between the addresses of an upstream (RFC 8305, section 5).

use super::{
    attempts::{Attempts, timed_out},
    settings::Settings,
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::{io, net::SocketAddr};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until, timeout_at},
};

/// Connects to the first address that answers. A further attempt begins when the last one has
/// failed, or has not been answered within the attempt delay. The other sockets are closed when one
/// is connected.
pub(super) async fn race(
    addrs: &[SocketAddr],
    settings: &Settings,
    deadline: Option<Instant>,
    attempts: &mut Attempts,
) -> Option<(TcpStream, SocketAddr)> {
    if let &[addr] = addrs {
        let number = attempts.begin(addr);
        let connected = attempt(addr, settings, deadline).await;
        let failed = |error| attempts.fail(number, error);
        return Some((connected.map_err(failed).ok()?, addr));
    }
    let mut under_way = FuturesUnordered::new();
    let mut rest = addrs.iter();
    let mut next_at = Instant::now();
    loop {
        if Instant::now() >= next_at || under_way.is_empty() {
            if let Some(&addr) = rest.next() {
                let number = attempts.begin(addr);
                under_way
                    .push(async move { (number, addr, attempt(addr, settings, deadline).await) });
                next_at = Instant::now() + settings.attempt_delay;
            }
        }
        let is_more = rest.len() > 0;
        tokio::select! {
            ended = under_way.next() => match ended {
                Some((_, addr, Ok(stream))) => return Some((stream, addr)),
                Some((number, _, Err(error))) => {
                    attempts.fail(number, error);
                    next_at = Instant::now();
                }
                // Nothing is under way and nothing is left to try.
                None => return None,
            },
            () = sleep_until(next_at), if is_more => {}
        }
    }
}

/// Connects to one address. The time for the whole connection, which ends at `deadline`, is limited
/// elsewhere.
async fn attempt(
    addr: SocketAddr,
    settings: &Settings,
    deadline: Option<Instant>,
) -> io::Result<TcpStream> {
    let connecting = settings.options.connect(addr);
    let limit = Instant::now().checked_add(settings.attempt_timeout);
    match limit.filter(|limit| deadline.is_none_or(|deadline| *limit < deadline)) {
        Some(limit) => timeout_at(limit, connecting)
            .await
            .unwrap_or_else(|_| Err(timed_out())),
        None => connecting.await,
    }
}
