//! The MQTT broker, whose first half performs handshakes in its loop.

use super::{assert_stalled, run, silent_clients, start};
use crate::{program::Example, support::soon};
use reagent::BoxError;
use std::{fs, io, process::Stdio, sync::Arc};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring},
};

/// A certificate for the broker, in files.
struct Certificate {
    dir: TempDir,
    client: Arc<ClientConfig>,
}

impl Certificate {
    fn new() -> Result<Self, BoxError> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names)?;
        let dir = TempDir::new()?;
        fs::write(dir.path().join("cert.pem"), made.cert.pem())?;
        fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let provider = Arc::new(ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Arc::new(client);
        Ok(Certificate { dir, client })
    }

    fn path(&self, file: &str) -> String {
        self.dir.path().join(file).to_str().unwrap().to_owned()
    }

    async fn broker(&self, half: &str) -> Example {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        start("mqtt", half, &["--tls-cert", &cert, "--tls-key", &key]).await
    }

    /// Connects to a broker, sends a ping, and disconnects.
    async fn ping(&self, broker: &Example) -> io::Result<()> {
        let connector = TlsConnector::from(self.client.clone());
        let name = "localhost".try_into().unwrap();
        let mut client = connector.connect(name, broker.connect().await).await?;
        // CONNECT of MQTT 3.1.1, with a keep-alive of 60 s and the client identifier `me`.
        let connect = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02me";
        client.write_all(connect).await?;
        client.write_all(&[0xc0, 0]).await?;
        let mut answers = [0; 6];
        client.read_exact(&mut answers).await?;
        assert_eq!(answers, [0x20, 2, 0, 0, 0xd0, 0]);
        client.write_all(&[0xe0, 0]).await?;
        client.shutdown().await
    }
}

#[tokio::test]
async fn before_silent_clients_stall_the_mqtt_broker() -> Result<(), BoxError> {
    let certificate = Certificate::new()?;
    let broker = certificate.broker("before").await;
    certificate.ping(&broker).await?;
    let silent = silent_clients(&broker).await;
    assert_stalled(silent, certificate.ping(&broker)).await;
    Ok(())
}

#[tokio::test]
async fn after_silent_clients_delay_nobody_in_the_mqtt_broker() -> Result<(), BoxError> {
    let certificate = Certificate::new()?;
    let broker = certificate.broker("after").await;
    let silent = silent_clients(&broker).await;
    soon(certificate.ping(&broker)).await?;
    drop(silent);
    broker.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn mosquitto_clients_publish_and_subscribe_in_both_halves() -> Result<(), BoxError> {
    let certificate = Certificate::new()?;
    let ca = certificate.path("cert.pem");
    for half in ["before", "after"] {
        let broker = certificate.broker(half).await;
        let (host, port) = broker.addr.split_once(':').unwrap();
        let to = ["-h", host, "-p", port, "--cafile", &ca];
        let mut subscriber = Command::new("mosquitto_sub");
        // It ends after the first message.
        subscriber.args(to).args(["-C", "1", "-t", "rooms/+/light"]);
        subscriber.stdout(Stdio::piped()).kill_on_drop(true);
        let subscriber = match subscriber.spawn() {
            Ok(subscriber) => subscriber,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                crate::skipped::skipped("mosquitto_sub is not installed");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        // Nothing shows when it is subscribed, so messages are published until it has one.
        let publishing = async {
            loop {
                for topic in ["rooms/hall/heat", "rooms/hall/light"] {
                    let message = [&to[..], &["-t", topic, "-m", topic]].concat();
                    let output = run("mosquitto_pub", &message).await.expect("one package");
                    assert!(output.status.success(), "{half}: {output:?}");
                }
            }
        };
        let received = tokio::select! {
            output = soon(subscriber.wait_with_output()) => output?.stdout,
            () = publishing => unreachable!("it never ends"),
        };
        assert_eq!(received, b"rooms/hall/light\n", "{half}");
    }
    Ok(())
}
