//! The listener of a proxy, whose `accept` also reads the PROXY header.
//!
//! The listener of Infrarust has this form (2.0.0-alpha.6, `Listener::accept` in
//! `crates/infrarust-transport/src/listener.rs`): after the accept, it awaits
//! `decode_proxy_protocol`, which takes at most five seconds, and the loop of the server awaits it.

use super::player::serve;
use crate::common;
use reagent::BoxError;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tracing::{info, warn};

struct Listener(TcpListener);

impl Listener {
    /// Accepts a player. Returns the address in the PROXY header.
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (mut stream, _proxy) = self.0.accept().await?;
        // The fault: no other client is accepted until this one has sent its header. The time limit
        // bounds the delay that one silent client causes, but there may be many.
        let player = timeout(Duration::from_secs(5), proxy_header(&mut stream)).await??;
        Ok((stream, player))
    }
}

pub async fn run(listen: &str) -> Result<(), BoxError> {
    let listener = Listener(TcpListener::bind(listen).await?);
    common::print(format_args!("listening on {}", listener.0.local_addr()?));

    loop {
        let (stream, player) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "could not accept");
                continue;
            }
        };
        info!(%player, "connected");
        #[expect(clippy::disallowed_methods, reason = "the loop as it is written")]
        tokio::spawn(async move {
            if let Err(error) = serve(stream, player).await {
                warn!(%player, %error, "connection failed");
            }
        });
    }
}

/// Reads a header of version 1, a byte at a time: `PROXY TCP4 SOURCE DESTINATION PORT PORT\r\n`.
async fn proxy_header(stream: &mut TcpStream) -> io::Result<SocketAddr> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        if line.len() == 107 {
            return Err(io::Error::other("the PROXY header is too long"));
        }
        line.push(stream.read_u8().await?);
    }
    let line = String::from_utf8_lossy(&line);
    let fields: Vec<&str> = line.split_whitespace().collect();
    let source = match fields[..] {
        ["PROXY", "TCP4" | "TCP6", ip, _, port, _] => ip.parse().ok().zip(port.parse().ok()),
        _ => None,
    };
    let (ip, port) = source.ok_or_else(|| io::Error::other("the PROXY header is invalid"))?;
    Ok(SocketAddr::new(ip, port))
}
