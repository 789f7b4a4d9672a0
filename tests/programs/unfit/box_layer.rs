//! A boxed service that is not `Clone`.
//@ `BoxService<reagent::Connection, _, _>` is not `Clone`
//@ `start_make`
//@ `BoxCloneServiceLayer` in the place of `BoxLayer`

use reagent::{Connection, Server, handle};
use std::io;
use tower::{limit::ConcurrencyLimitLayer, util::BoxLayer};

async fn echo(_: Connection) -> io::Result<()> {
    Ok(())
}

pub async fn program() {
    let server = Server::bind("127.0.0.1:0")
        .layer(BoxLayer::new(ConcurrencyLimitLayer::new(3)))
        .start(handle(echo))
        .await
        .unwrap();
    drop(server);
}

fn main() {}
