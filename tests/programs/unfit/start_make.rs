//! The fix that the compiler suggests for `rate_limit.rs`.
//@ errors: 0

use reagent::{BoxError, Connection, Server, handle};
use std::{io, time::Duration};
use tower::{limit::RateLimitLayer, service_fn};

async fn echo(_: Connection) -> io::Result<()> {
    Ok(())
}

pub async fn program() {
    let server = Server::bind("127.0.0.1:0")
        .layer(RateLimitLayer::new(3, Duration::from_secs(1)))
        .start_make(service_fn(|_| async { Ok::<_, BoxError>(handle(echo)) }))
        .await
        .unwrap();
    drop(server);
}

fn main() {}
