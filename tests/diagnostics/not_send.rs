//! A handler whose future cannot move between threads.
//@ future returned by `count` is not `Send`
//@ has type `Rc<i32>` which is not `Send`

use reagent::{Connection, Server, handle};
use std::{io, rc::Rc};
use tokio::io::AsyncReadExt;

async fn count(mut conn: Connection) -> io::Result<()> {
    let count = Rc::new(1);
    conn.read_u8().await?;
    drop(count);
    Ok(())
}

pub async fn program() {
    let server = Server::bind("127.0.0.1:0")
        .start(handle(count))
        .await
        .unwrap();
    drop(server);
}

fn main() {}
