//! An upgrade in place of a layer. The compiler reports it at the method and at its argument.
//@ errors: 2
//@ the trait bound `Knock: tower_layer::Layer<_>` is not satisfied
//@ an `Upgrade` becomes a layer by `UpgradeLayer::new`

use reagent::{BoxError, BoxIo, Connection, Server, Upgrade, handle};
use std::io;

#[derive(Clone)]
struct Knock;

impl Upgrade<BoxIo> for Knock {
    type Io = BoxIo;

    async fn upgrade(&self, conn: Connection) -> Result<Connection, BoxError> {
        Ok(conn)
    }
}

async fn echo(_: Connection) -> io::Result<()> {
    Ok(())
}

pub async fn program() {
    let server = Server::bind("127.0.0.1:0")
        .layer(Knock)
        .start(handle(echo))
        .await
        .unwrap();
    drop(server);
}

fn main() {}
