//! A race between the addresses of an upstream (RFC 8305, section 5).

use super::{
    attempts::{Attempts, timed_out},
    settings::Settings,
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::net::SocketAddr;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};

/// Connects to the first address that answers. A further attempt begins when the last one has
/// failed, or has not been answered within the attempt delay. The other sockets are closed when one
/// is connected.
pub(super) async fn race(
    addrs: &[SocketAddr],
    settings: &Settings,
    attempts: &mut Attempts,
) -> Option<(TcpStream, SocketAddr)> {
    let mut under_way = FuturesUnordered::new();
    let mut rest = addrs.iter();
    let mut next_at = Instant::now();
    loop {
        if Instant::now() >= next_at || under_way.is_empty() {
            if let Some(&addr) = rest.next() {
                let number = attempts.begin(addr);
                under_way.push(async move {
                    let connecting = settings.options.connect(addr);
                    let connected = timeout(settings.attempt_timeout, connecting).await;
                    (number, addr, connected.unwrap_or_else(|_| Err(timed_out())))
                });
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
