//! A proxy in front of a server.

#![expect(
    clippy::disallowed_methods,
    reason = "a proxy of a test, which ends with it"
)]

use std::net::{Ipv4Addr, SocketAddr};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A proxy that can cut all connections, and refuse new ones.
pub struct Proxy {
    addr: SocketAddr,
    is_cut: watch::Sender<bool>,
}

impl Proxy {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let is_cut = watch::Sender::new(false);
        let cut = is_cut.subscribe();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut cut = cut.clone();
                tokio::spawn(async move {
                    // Connections that are made meanwhile wait.
                    until(&mut cut, false).await;
                    let mut server = TcpStream::connect(server).await.ok()?;
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => return Some(()),
                        // Bytes are dropped, and the connection stays open.
                        () = until(&mut cut, true) => {
                            until(&mut cut, false).await;
                        }
                    }
                    Some(())
                });
            }
        });
        Proxy { addr, is_cut }
    }

    pub fn url(&self) -> String {
        format!("redis://{}/0", self.addr)
    }

    pub fn cut(&self, is_cut: bool) {
        self.is_cut.send_replace(is_cut);
    }
}

async fn until(cut: &mut watch::Receiver<bool>, expected: bool) {
    // The sender lives as long as the test.
    let _ = cut.wait_for(|is_cut| *is_cut == expected).await;
}
