//! The loop of a broker, which completes each TLS handshake before it accepts the next client.
//!
//! The TLS listeners of rumqttd have this form (0.20.0, `Server::start` in
//! `rumqttd/src/server/broker.rs`): the loop awaits `tls_accept`, and for WebSocket listeners the
//! upgrade too, before it spawns the task that reads CONNECT. Neither has a time limit.

use super::broker::Broker;
use crate::common;
use reagent::BoxError;
use std::{path::Path, sync::Arc};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};
use tracing::{info, warn};

pub async fn run(listen: &str, cert: &Path, key: &Path) -> Result<(), BoxError> {
    let tls = acceptor(cert, key)?;
    let broker = Broker::new();
    let listener = TcpListener::bind(listen).await?;
    common::print(format_args!("listening on {}", listener.local_addr()?));

    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "could not accept");
                continue;
            }
        };

        // The fault: a client that sends nothing keeps the loop here, and no other is accepted.
        let stream = match tls.accept(stream).await {
            Ok(stream) => stream,
            Err(error) => {
                warn!(%peer, %error, "TLS handshake failed");
                continue;
            }
        };

        info!(%peer, "connected");
        let broker = broker.clone();
        #[expect(clippy::disallowed_methods, reason = "the loop as it is written")]
        tokio::spawn(async move {
            if let Err(error) = broker.serve(stream).await {
                warn!(%peer, %error, "connection failed");
            }
        });
    }
}

fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, BoxError> {
    let certs = CertificateDer::pem_file_iter(cert)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certs, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
