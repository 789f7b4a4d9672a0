//! A function over the plain stream, inside a layer that changes the stream.
//@ expected function signature `fn(reagent::Connection<BufStream<BoxIo>>) -> _`
//@ a function becomes one, over every stream, by `handle`

use reagent::{BoxError, Connection, IoStream, Server, Upgrade, UpgradeLayer};
use std::io;
use tokio::io::BufStream;
use tower::service_fn;

/// Changes the stream, as TLS does.
struct Buffer;

impl<Io: IoStream> Upgrade<Io> for Buffer {
    type Io = BufStream<Io>;

    async fn upgrade(&self, conn: Connection<Io>) -> Result<Connection<BufStream<Io>>, BoxError> {
        Ok(conn.map_io(BufStream::new))
    }
}

async fn echo(_: Connection) -> io::Result<()> {
    Ok(())
}

pub async fn program() {
    let server = Server::bind("127.0.0.1:0")
        .layer(UpgradeLayer::new(Buffer))
        .start(service_fn(echo))
        .await
        .unwrap();
    drop(server);
}

fn main() {}
