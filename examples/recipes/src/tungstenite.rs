//! WebSockets: tokio-tungstenite.

use futures_util::{SinkExt, StreamExt};
use reagent::{Connection, Server, ServerHandle, handle};
use reagent_layers::timeout::TimeoutsLayer;
use tokio_tungstenite::{
    accept_async,
    tungstenite::{
        Error, Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

/// Starts a server that answers each text with the client's address and the text.
///
/// # Errors
///
/// Returns the error of [`Server::start`].
pub async fn serve() -> Result<ServerHandle, reagent::Error> {
    Server::bind("127.0.0.1:0")
        .max_connections(10_000)
        .layer(TimeoutsLayer::new())
        .start(handle(websocket))
        .await
}

async fn websocket(conn: Connection) -> Result<(), Error> {
    let (peer, mut draining) = (conn.peer_addr().clone(), conn.draining());
    let mut socket = tokio::select! {
        socket = accept_async(conn) => socket?,
        () = &mut draining => return Ok(()),
    };
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            () = &mut draining => break,
        };
        match message {
            Some(Ok(Message::Text(text))) => {
                socket.send(format!("{peer}: {text}").into()).await?;
            }
            Some(message) => drop(message?),
            None => return Ok(()),
        }
    }
    let (code, reason) = (CloseCode::Away, "the server is draining".into());
    socket.close(Some(CloseFrame { code, reason })).await?;
    // The client answers with a close frame.
    while socket.next().await.transpose()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support;
    use tokio_tungstenite::client_async;

    #[tokio::test]
    async fn a_drain_closes_a_websocket_with_1001() {
        let server = serve().await.unwrap();
        let (stream, addr) = support::connect(&server).await;
        let (mut client, _) = client_async("ws://localhost/", stream).await.unwrap();
        client.send("hello".into()).await.unwrap();
        let answer = client.next().await.unwrap().unwrap();
        assert_eq!(answer.into_text().unwrap(), format!("{addr}: hello"));

        let ended = async {
            let close = client.next().await.unwrap().unwrap();
            // The answer to the close.
            let is_over = client.next().await.is_none();
            (close, is_over)
        };
        let ((), ended) = tokio::join!(support::drain(&server), ended);
        let (close, is_over) = ended;
        assert!(matches!(close, Message::Close(Some(frame)) if frame.code == CloseCode::Away));
        assert!(is_over);
    }

    #[tokio::test]
    async fn a_drain_does_not_wait_for_a_handshake() {
        let server = serve().await.unwrap();
        let _silent = support::connect(&server).await;
        support::drain(&server).await;
    }
}
