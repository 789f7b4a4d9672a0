//! The shortest useful custom protocol: a calculator that answers every line.
//!
//! Run it with `cargo run --example line_protocol`, talk to it with `nc 127.0.0.1 7000` (`2 + 3`),
//! and stop it with Ctrl-C. `--listen ADDR` sets the address.

#[path = "common/mod.rs"]
mod common;

use reagent::Server;
use reagent_layers::framed::{FramedLayer, OnError, codec::LinesCodec};
use std::{num::ParseIntError, time::Duration};
use tower::service_fn;

#[tokio::main]
async fn main() -> Result<(), reagent::BoxError> {
    let listen = common::listen("A calculator that answers every line", "127.0.0.1:7000");
    let lines = FramedLayer::new(LinesCodec::new_with_max_length(1024))
        .on_error(|error| OnError::Answer(format!("error: {error}")));
    let signal = common::signal()?;
    let server = Server::bind(listen)
        .options(common::keepalive)
        .layer(lines)
        .start(service_fn(async |line: String| sum(&line)))
        .await?;
    common::print(format_args!("listening on {}", server.local_addr()));

    common::drain_on(&server, signal, Duration::from_secs(10)).await?;
    Ok(())
}

fn sum(line: &str) -> Result<String, ParseIntError> {
    let numbers = line.split('+').map(|number| number.trim().parse::<i64>());
    // The numbers that fit in one line cannot overflow an i128.
    let sum = numbers
        .map(|number| number.map(i128::from))
        .sum::<Result<i128, _>>()?;
    Ok(sum.to_string())
}
