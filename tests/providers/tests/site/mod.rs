//! A server with TLS, and clients with aws-lc-rs.

use reagent::{
    Connection, Server, ServerHandle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::tls::{
    TlsBuilder, TlsConfigError, TlsInfo, TlsLayer,
    rustls::{ClientConfig, NamedGroup, RootCertStore, crypto::aws_lc_rs},
};
use std::{fs, sync::Arc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

/// Files with a certificate, and a client that trusts it.
pub struct Site {
    dir: tempfile::TempDir,
    pub connector: TlsConnector,
}

impl Site {
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Site {
            dir,
            connector: TlsConnector::from(Arc::new(config)),
        }
    }

    pub fn layer(
        &self,
        configure: impl FnOnce(TlsBuilder) -> TlsBuilder,
    ) -> Result<TlsLayer, TlsConfigError> {
        let (cert, key) = (
            self.dir.path().join("cert.pem"),
            self.dir.path().join("key.pem"),
        );
        configure(TlsLayer::builder().certificate(cert, key)).build()
    }

    /// Returns the group by which keys were exchanged, and whether the session was resumed.
    pub async fn handshake(&self, clients: &Clients) -> (NamedGroup, bool) {
        let stream = clients.connect().await.unwrap();
        let name = "localhost".try_into().unwrap();
        let mut client = self.connector.connect(name, stream).await.unwrap();
        let is_resumed = client.read_u8().await.unwrap() == 1;
        let group = client.get_ref().1.negotiated_key_exchange_group();
        (group.unwrap().name(), is_resumed)
    }
}

/// Starts a server that tells clients whether they have resumed a session.
pub async fn start(layer: TlsLayer) -> (ServerHandle, Clients) {
    let (listener, clients) = MemoryListener::new();
    let tell = |mut conn: Connection| async move {
        let is_resumed = conn.extensions().get::<TlsInfo>().unwrap().is_resumed();
        conn.write_all(&[u8::from(is_resumed)]).await?;
        conn.shutdown().await
    };
    let server = Server::new(listener)
        .layer(layer)
        .start(reagent::handle(tell));
    (server.await.unwrap(), clients)
}
