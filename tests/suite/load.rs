//! Clients that connect without pause, to show that none is lost.

use crate::support::{echoes, soon};
use reagent::Addr;
use std::{
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    task::JoinSet,
};

const CLIENTS: usize = 4;

/// Clients that connect again and again until they are stopped. Each must be refused or served.
pub struct Load {
    is_over: Arc<AtomicBool>,
    pub served: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    clients: JoinSet<()>,
}

impl Load {
    pub fn on(addr: &Addr) -> Self {
        Self::after(addr, 0)
    }

    /// For a server that sends `greeting` bytes before it echoes.
    pub fn after(addr: &Addr, greeting: usize) -> Self {
        let mut load = Load {
            is_over: Arc::default(),
            served: Arc::default(),
            refused: Arc::default(),
            clients: JoinSet::new(),
        };
        for _ in 0..CLIENTS {
            let addr = addr.clone();
            let (is_over, served, refused) = (
                load.is_over.clone(),
                load.served.clone(),
                load.refused.clone(),
            );
            load.clients.spawn(async move {
                while !is_over.load(Relaxed) {
                    match attempt_after(&addr, greeting).await {
                        true => served.fetch_add(1, Relaxed),
                        false => refused.fetch_add(1, Relaxed),
                    };
                    tokio::task::yield_now().await;
                }
            });
        }
        load
    }

    /// Waits until `count` clients have been served.
    pub async fn reaches(&mut self, count: u64) {
        while self.served.load(Relaxed) < count {
            if let Some(ended) = self.clients.try_join_next() {
                ended.expect("no client to be lost");
            }
            tokio::task::yield_now().await;
        }
    }

    /// Stops the clients, and returns how many were served and refused.
    pub async fn end(mut self) -> (u64, u64) {
        self.is_over.store(true, Relaxed);
        while let Some(ended) = soon(self.clients.join_next()).await {
            ended.expect("no client to be lost");
        }
        (self.served.load(Relaxed), self.refused.load(Relaxed))
    }
}

pub async fn attempt(addr: &Addr) -> bool {
    attempt_after(addr, 0).await
}

/// Returns whether a client was served. One that was neither served nor refused is lost.
async fn attempt_after(addr: &Addr, greeting: usize) -> bool {
    let served = match addr.socket_addr() {
        Some(addr) => match TcpStream::connect(addr).await {
            Ok(mut client) => Ok(is_served(&mut client, greeting).await),
            Err(error) => Err(error),
        },
        None => match UnixStream::connect(addr.path().unwrap()).await {
            Ok(mut client) => Ok(is_served(&mut client, greeting).await),
            Err(error) => Err(error),
        },
    };
    match served {
        Ok(served) => {
            assert!(served, "a client was queued and not served");
            true
        }
        Err(error) => {
            let refusals = [ErrorKind::ConnectionRefused, ErrorKind::NotFound];
            assert!(refusals.contains(&error.kind()), "{error}");
            false
        }
    }
}

async fn is_served(
    client: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    greeting: usize,
) -> bool {
    let greeted = soon(client.read_exact(&mut vec![0; greeting])).await;
    greeted.is_ok() && echoes(client, "hello").await
}
