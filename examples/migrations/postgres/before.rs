//! The loop of a pooler, which ends on the first accept error.
//!
//! The listener of pgdog has this form (0.1.54, `Listener::listen` in
//! `pgdog/src/frontend/listener.rs`): the loop returns every error of `accept`, and `main` returns
//! it too. When the process runs out of descriptors, it therefore exits, and all sessions end.

use super::client::serve;
use crate::common;
use reagent::BoxError;
use std::{pin::pin, time::Duration};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tracing::{info, warn};

pub async fn run(listen: &str) -> Result<(), BoxError> {
    let mut signal = pin!(common::signal()?);
    let listener = TcpListener::bind(listen).await?;
    common::print(format_args!("listening on {}", listener.local_addr()?));

    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // The fault: this also returns errors that pass (EMFILE, ENFILE) and errors of one
                // client (ECONNABORTED).
                let (stream, peer) = accepted?;
                info!(%peer, "connected");
                clients.spawn(async move {
                    if let Err(error) = serve(stream).await {
                        warn!(%peer, %error, "connection failed");
                    }
                });
            }
            Some(_) = clients.join_next() => {}
            () = &mut signal => break,
        }
    }

    info!("waiting for {} clients", clients.len());
    let all = async { while clients.join_next().await.is_some() {} };
    if timeout(Duration::from_secs(10), all).await.is_err() {
        warn!("closing {} clients", clients.len());
    }
    Ok(())
}
