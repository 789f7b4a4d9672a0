//! Clients that leave while they wait for an upstream.

use reagent::ConnectionHandle;

/// Resolves once the client has reset its connection, so that it gives up its place in the queue.
///
/// A client that has only finished sending (FIN) may still expect an answer, and keeps its place.
#[cfg(target_os = "linux")]
pub async fn client_reset(client: &ConnectionHandle) {
    use std::{future::pending, net, time::Duration};
    use tokio::{io::Interest, net::TcpStream, time::sleep};

    // Most clients are connected by then, and need not be watched.
    sleep(Duration::from_millis(100)).await;
    // Any kind of socket can be watched in this way.
    let socket = client.socket().map(net::TcpStream::from);
    match socket.and_then(TcpStream::from_std) {
        Ok(socket) => drop(socket.ready(Interest::ERROR).await),
        Err(_) => pending().await,
    }
}

#[cfg(not(target_os = "linux"))]
pub async fn client_reset(_: &ConnectionHandle) {
    std::future::pending().await
}
