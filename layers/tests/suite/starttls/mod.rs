//! `StartTlsLayer`: clients that are encrypted, passed on in plaintext, and refused.

mod injected;
mod ldap;
mod limits;
mod postgres;
mod property;

use crate::{
    support::Ends,
    tls::{
        pki::{BOTH, Ca, Dir},
        running::in_time,
    },
};
use reagent::{
    Connection, Outcome, Server, ServerHandle, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{
    starttls::StartTlsLayer,
    tls::{TlsLayer, rustls::ClientConfig},
};
use std::{io, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

const SSL_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const GSSENC_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";
/// Of process 1, with the key 2.
const CANCEL_REQUEST: &[u8] = b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02";
const STARTUP: &[u8] = b"\0\0\0\x10\0\x03\0\0user\0me\0\0";

/// What a handler received from a client until its end.
#[derive(Debug, PartialEq, Eq)]
struct Received {
    is_secure: bool,
    began: String,
    bytes: Vec<u8>,
}

struct Site {
    _dir: Dir,
    ca: Ca,
    server: ServerHandle,
    clients: Clients,
    ends: Ends,
    received: UnboundedReceiver<Received>,
}

impl Site {
    /// Starts a server for PostgreSQL clients.
    async fn new(configure: impl FnOnce(StartTlsLayer) -> StartTlsLayer) -> Self {
        Self::with(|tls| configure(StartTlsLayer::postgres(tls))).await
    }

    async fn with(layer: impl FnOnce(TlsLayer) -> StartTlsLayer) -> Self {
        let (dir, ca) = (Dir::new(), Ca::new("ca"));
        let (cert, key) = ca.server(&["localhost"]).write(&dir, "localhost");
        let tls = TlsLayer::builder()
            .certificate(cert, key)
            .alpn(["postgresql"]);
        let layer = layer(tls.build().unwrap());
        let (listener, clients) = MemoryListener::new();
        let (ends, (sender, received)) = (Ends::default(), unbounded_channel());
        let receive = move |mut conn: Connection| {
            let sender = sender.clone();
            async move {
                let mut bytes = Vec::new();
                conn.read_to_end(&mut bytes).await?;
                let (is_secure, began) = (conn.is_secure(), conn.handle().label("starttls"));
                let began = began.unwrap();
                sender
                    .send(Received {
                        is_secure,
                        began,
                        bytes,
                    })
                    .unwrap();
                conn.write_all(b"done").await?;
                conn.shutdown().await
            }
        };
        let server = Server::new(listener)
            .layer(layer)
            .observe(ends.clone())
            .start(handle(receive))
            .await
            .unwrap();
        Site {
            _dir: dir,
            ca,
            server,
            clients,
            ends,
            received,
        }
    }

    async fn client(&self) -> DuplexStream {
        self.clients.connect().await.unwrap()
    }

    /// Returns what the handler received.
    async fn received(&mut self) -> Received {
        in_time(self.received.recv()).await.unwrap()
    }

    /// Returns whether no handler has received anything.
    fn is_unreached(&mut self) -> bool {
        self.received.try_recv().is_err()
    }

    async fn rejection(&self, id: u64) -> String {
        match self.ends.of(id).await {
            Outcome::Rejected(rejected) => rejected.reason().to_owned(),
            outcome => panic!("{outcome}"),
        }
    }

    fn trusting(&self, alpn: &[&str]) -> ClientConfig {
        let mut config = self.ca.believer(BOTH);
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    async fn handshake(
        &self,
        stream: DuplexStream,
        alpn: &[&str],
    ) -> io::Result<TlsStream<DuplexStream>> {
        let connector = TlsConnector::from(Arc::new(self.trusting(alpn)));
        let name = "localhost".try_into().unwrap();
        in_time(connector.connect(name, stream)).await
    }
}

/// Reads one byte, the answer to a request.
async fn answer(client: &mut DuplexStream) -> u8 {
    in_time(client.read_u8()).await.unwrap()
}

/// Sends the rest, and returns the response of the handler.
async fn finish(mut client: impl AsyncReadExt + AsyncWriteExt + Unpin, text: &[u8]) -> Vec<u8> {
    client.write_all(text).await.unwrap();
    client.shutdown().await.unwrap();
    let mut response = Vec::new();
    in_time(client.read_to_end(&mut response)).await.unwrap();
    response
}
