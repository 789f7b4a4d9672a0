//! A layer that is not `Clone`.
//@ `RateLimit<_>` is not `Clone`, so the acceptors of a server cannot share it
//@ use `start_make`, which makes a service for each acceptor

use reagent::{Connection, Server, handle};
use std::{io, time::Duration};
use tower::limit::RateLimitLayer;

async fn echo(_: Connection) -> io::Result<()> {
    Ok(())
}

pub async fn program() {
    let server = Server::bind("127.0.0.1:0")
        .layer(RateLimitLayer::new(3, Duration::from_secs(1)))
        .start(handle(echo))
        .await
        .unwrap();
    drop(server);
}

fn main() {}
