//! A function in place of a service.
//@ does not serve connections over `BoxIo`
//@ becomes a service, over every stream, by `reagent::handle`

use reagent::{Connection, Server};
use std::io;

async fn echo(_: Connection) -> io::Result<()> {
    Ok(())
}

pub async fn program() {
    let server = Server::bind("127.0.0.1:0").start(echo).await.unwrap();
    drop(server);
}

fn main() {}
