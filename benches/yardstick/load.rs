//! Clients that connect, send and get 64 bytes, and reset, so that ports do not run out.

use std::{
    cell::Cell,
    io::{self, Read, Write},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
};

const AT_ONCE: usize = 16;

async fn connection(addr: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&[7; 64]).await?;
    stream.read_exact(&mut [0; 64]).await?;
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
}

async fn client(addr: SocketAddr, left: Rc<Cell<usize>>) -> io::Result<()> {
    while let Some(rest) = left.get().checked_sub(1) {
        left.set(rest);
        connection(addr).await?;
    }
    Ok(())
}

/// Makes `count` connections.
pub fn run(addr: SocketAddr, count: usize) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let left = Rc::new(Cell::new(count));
    LocalSet::new().block_on(&runtime, async {
        let start = |_| tokio::task::spawn_local(client(addr, left.clone()));
        let clients: Vec<_> = (0..AT_ONCE).map(start).collect();
        for client in clients {
            client.await??;
        }
        Ok(())
    })
}

/// Opens `count` connections, one after the other, and lets each have one round trip.
pub fn hold(addr: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpStream>> {
    let open = |_| {
        let mut stream = std::net::TcpStream::connect(addr)?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        Ok(stream)
    };
    (0..count).map(open).collect()
}
