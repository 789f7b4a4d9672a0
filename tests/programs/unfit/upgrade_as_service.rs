//! An upgrade in place of a service.
//@ `Knock` does not serve connections over `BoxIo`
//@ .layer(UpgradeLayer::new(upgrade))

use reagent::{BoxError, BoxIo, Connection, Server, Upgrade};

#[derive(Clone)]
struct Knock;

impl Upgrade<BoxIo> for Knock {
    type Io = BoxIo;

    async fn upgrade(&self, conn: Connection) -> Result<Connection, BoxError> {
        Ok(conn)
    }
}

pub async fn program() {
    let server = Server::bind("127.0.0.1:0").start(Knock).await.unwrap();
    drop(server);
}

fn main() {}
