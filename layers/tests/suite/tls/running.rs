//! A server with TLS, the information of its handler, and the outcomes of its connections.

use super::pki::{Ca, Dir};
use crate::support::{LONG, echo, echoes};
use reagent::{
    Connection, ConnectionInfo, Observer, Outcome, Server, ServerHandle, event,
    testing::{Clients, MemoryListener},
};
use reagent_layers::tls::{
    HandshakeError, HandshakeErrorKind, TlsInfo, TlsLayer, rustls::ClientConfig,
};
use std::{error::Error, io, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The information that the handler received.
pub struct Seen {
    pub tls: TlsInfo,
    pub info: ConnectionInfo,
    pub secure: bool,
    pub protocol: Option<Vec<u8>>,
}

pub struct Running {
    pub server: ServerHandle,
    pub clients: Clients,
    seen: UnboundedReceiver<Seen>,
    ends: UnboundedReceiver<Outcome>,
}

struct Ends(UnboundedSender<Outcome>);

impl Observer for Ends {
    fn connection_ended(&self, event: &event::ConnectionEnded<'_>) {
        let _ = self.0.send(event.outcome.clone());
    }
}

fn look(conn: &Connection) -> Seen {
    Seen {
        tls: conn.extensions().get::<TlsInfo>().unwrap().clone(),
        info: conn.info(),
        secure: conn.is_secure(),
        protocol: conn.negotiated_protocol().map(<[u8]>::to_owned),
    }
}

impl Running {
    pub async fn new(layer: TlsLayer) -> Self {
        let (listener, clients) = MemoryListener::new();
        Self::start(Server::new(listener), clients, layer).await
    }

    pub async fn start(server: Server, clients: Clients, layer: TlsLayer) -> Self {
        let (seeing, seen) = unbounded_channel();
        let (ending, ends) = unbounded_channel();
        let server = server
            .layer(layer)
            .observe(Ends(ending))
            .start(reagent::handle(move |conn: Connection| {
                let _ = seeing.send(look(&conn));
                echo(conn)
            }))
            .await
            .unwrap();
        Running {
            server,
            clients,
            seen,
            ends,
        }
    }

    /// Connects a client that requests `name`.
    pub async fn connect(
        &self,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> io::Result<TlsStream<DuplexStream>> {
        connect(&self.clients, config, name).await
    }

    pub async fn seen(&mut self) -> Seen {
        in_time(self.seen.recv()).await.unwrap()
    }

    pub async fn end(&mut self) -> Outcome {
        in_time(self.ends.recv()).await.unwrap()
    }

    /// Waits for the next failed handshake, and returns its kind of error.
    pub async fn failure(&mut self) -> HandshakeErrorKind {
        let outcome = self.end().await;
        let Outcome::Failed(error) = &outcome else {
            panic!("{outcome}")
        };
        let error = error.downcast_ref::<HandshakeError>().expect("a handshake");
        assert!(error.peer_addr().to_string().starts_with("client:"));
        assert!(std::error::Error::source(error).is_some());
        error.kind()
    }
}

/// Returns the message of an error followed by the messages of its sources.
pub fn in_full(error: &(dyn Error + 'static)) -> String {
    std::iter::successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

pub async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LONG * 1000, future)
        .await
        .expect("it hangs")
}

pub async fn connect(
    clients: &Clients,
    config: &Arc<ClientConfig>,
    name: &str,
) -> io::Result<TlsStream<DuplexStream>> {
    let stream = clients.connect().await?;
    let name = name.to_owned().try_into().unwrap();
    in_time(TlsConnector::from(config.clone()).connect(name, stream)).await
}

/// Closes a connection in order, with `close_notify` from both sides.
pub async fn close(mut client: TlsStream<DuplexStream>) {
    client.shutdown().await.unwrap();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

/// Returns whether a client's handshake resumes a session. The client receives new tickets.
pub async fn resumes(running: &mut Running, config: &Arc<ClientConfig>) -> bool {
    let mut client = running.connect(config, "localhost").await.unwrap();
    assert!(echoes(&mut client, "with the echo comes the ticket").await);
    close(client).await;
    running.end().await;
    running.seen().await.tls.is_resumed()
}

/// Returns a layer with a certificate for `localhost` only.
pub fn localhost(dir: &Dir, ca: &Ca) -> TlsLayer {
    let (cert, key) = ca.server(&["localhost"]).write(dir, "localhost");
    TlsLayer::from_pem_files(cert, key).unwrap()
}
