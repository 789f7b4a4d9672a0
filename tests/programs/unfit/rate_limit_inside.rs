//! A layer that is not `Clone`, inside another layer.
//@ a service that is not `Clone` goes by `start_make`

use reagent::{Connection, Server, handle};
use std::{io, time::Duration};
use tower::{limit::RateLimitLayer, timeout::TimeoutLayer};

async fn echo(_: Connection) -> io::Result<()> {
    Ok(())
}

pub async fn program() {
    let server = Server::bind("127.0.0.1:0")
        .layer(TimeoutLayer::new(Duration::from_secs(1)))
        .layer(RateLimitLayer::new(3, Duration::from_secs(1)))
        .start(handle(echo))
        .await
        .unwrap();
    drop(server);
}

fn main() {}
