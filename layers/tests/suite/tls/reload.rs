//! Certificates that are replaced while the server runs.

use super::{
    pki::{BOTH, Ca, Dir, EACH, Made},
    running::{Running, close, in_full, in_time},
};
use crate::support::echoes;
use reagent_layers::tls::{
    TlsConfigError, TlsLayer,
    rustls::{ClientConfig, pki_types::CertificateDer},
};
use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::mpsc::unbounded_channel,
    task::JoinSet,
    time::{Instant, sleep},
};

const SECOND: Duration = Duration::from_secs(1);

/// The current certificate, the next one, and the files for both.
pub struct Change {
    _dir: Dir,
    pub ca: Ca,
    pub old: Made,
    pub new: Made,
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Change {
    pub fn new() -> Self {
        let (dir, ca) = (Dir::new(), Ca::new("ca"));
        let old = ca.server(&["localhost"]);
        let (cert, key) = old.write(&dir, "server");
        Change {
            new: ca.server(&["localhost"]),
            _dir: dir,
            ca,
            old,
            cert,
            key,
        }
    }

    pub fn layer(&self) -> TlsLayer {
        TlsLayer::from_pem_files(&self.cert, &self.key).unwrap()
    }

    fn client(&self) -> Arc<ClientConfig> {
        Arc::new(self.ca.believer(BOTH))
    }

    /// Returns the certificate that a new client receives.
    async fn served(&self, running: &Running) -> CertificateDer<'static> {
        let client = running.connect(&self.client(), "localhost").await.unwrap();
        let certificate = client.get_ref().1.peer_certificates().unwrap()[0].clone();
        close(client).await;
        certificate
    }
}

#[tokio::test]
async fn a_reload_by_call_applies_to_new_connections_only() {
    let change = Change::new();
    let layer = change.layer();
    let reloader = layer.reloader();
    let running = Running::new(layer).await;
    let mut early = running
        .connect(&change.client(), "localhost")
        .await
        .unwrap();
    change.new.overwrite(&change.cert, &change.key);
    assert_eq!(change.served(&running).await, change.old.cert);
    reloader.reload().await.unwrap();
    assert_eq!(change.served(&running).await, change.new.cert);
    assert!(echoes(&mut early, "still here").await);
    close(early).await;
}

#[tokio::test]
async fn sessions_are_resumed_over_a_reload() {
    let change = Change::new();
    let layer = change.layer();
    let reloader = layer.reloader();
    let mut running = Running::new(layer).await;
    for version in EACH {
        let config = Arc::new(change.ca.believer(&[version]));
        for resumed in [false, true] {
            let mut client = running.connect(&config, "localhost").await.unwrap();
            assert!(echoes(&mut client, "hello").await);
            assert_eq!(running.seen().await.tls.is_resumed(), resumed);
            close(client).await;
            change.new.overwrite(&change.cert, &change.key);
            reloader.reload().await.unwrap();
        }
    }
}

#[tokio::test]
async fn bad_files_change_nothing_and_are_reported() {
    let change = Change::new();
    let layer = change.layer();
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let reloader = layer.reloader().on_reload(move |result| {
        let result = result.as_ref().map_err(ToString::to_string);
        tell.lock().unwrap().push(result.copied());
    });
    let running = Running::new(layer).await;

    fs::write(&change.cert, "half a certif").unwrap();
    let error = reloader.reload().await.unwrap_err();
    assert!(matches!(*error, TlsConfigError::NoCertificate { .. }));
    fs::write(&change.cert, &change.new.pem).unwrap();
    let error = reloader.reload().await.unwrap_err();
    assert!(matches!(*error, TlsConfigError::KeyMismatch { .. }));
    fs::remove_file(&change.cert).unwrap();
    let error = reloader.reload().await.unwrap_err();
    assert!(matches!(*error, TlsConfigError::Read { .. }));
    assert_eq!(change.served(&running).await, change.old.cert);

    change.new.overwrite(&change.cert, &change.key);
    reloader.clone().reload().await.unwrap();
    assert_eq!(change.served(&running).await, change.new.cert);
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 4);
    assert_eq!(told[3], Ok(()));
    assert!(told[1].as_ref().unwrap_err().contains("does not belong"));
}

#[tokio::test(start_paused = true)]
async fn a_reload_by_watching_reports_each_change_once() {
    let change = Change::new();
    let layer = change.layer();
    let (tell, mut told) = unbounded_channel();
    let began = Instant::now();
    let reloader = layer.reloader().on_reload(move |result| {
        let at = began.elapsed().as_secs();
        let _ = tell.send((at, result.as_ref().map_err(ToString::to_string).copied()));
    });
    let running = Running::new(layer).await;
    let mut watching = JoinSet::new();
    watching.spawn(reloader.watch(60 * SECOND));

    sleep(90 * SECOND).await;
    assert!(told.is_empty(), "nothing has changed");
    // The certificate is replaced first, and the key after the watcher has checked once.
    fs::write(&change.cert, &change.new.pem).unwrap();
    let (at, result) = told.recv().await.unwrap();
    assert_eq!(at, 120);
    assert!(result.unwrap_err().contains("does not belong"));
    sleep(150 * SECOND).await;
    assert!(told.is_empty(), "the same is not told again");
    assert_eq!(change.served(&running).await, change.old.cert);

    fs::write(&change.key, change.new.key.serialize_pem()).unwrap();
    assert_eq!(told.recv().await.unwrap(), (300, Ok(())));
    assert_eq!(change.served(&running).await, change.new.cert);
    assert!(watching.try_join_next().is_none());
}

#[tokio::test(start_paused = true)]
async fn watching_ends_with_what_is_watched_for() {
    let change = Change::new();
    let layer = change.layer();
    let mut watching = JoinSet::new();
    watching.spawn(layer.reloader().watch(SECOND));
    let running = Running::new(layer).await;
    sleep(100 * SECOND).await;
    assert!(watching.try_join_next().is_none());
    running.server.drain(SECOND).await;
    drop(running);
    in_time(watching.join_all()).await;
}

#[tokio::test]
async fn a_config_has_no_files_and_can_be_replaced() {
    let change = Change::new();
    let config = |made: &Made| {
        let provider = reagent_layers::tls::rustls::crypto::ring::default_provider();
        let builder = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        Arc::new(
            builder
                .with_single_cert(vec![made.cert.clone()], made.key_der())
                .unwrap(),
        )
    };
    let layer = TlsLayer::from_config(config(&change.old));
    let reloader = layer.reloader();
    let running = Running::new(layer).await;
    let error = reloader.reload().await.unwrap_err();
    assert!(matches!(*error, TlsConfigError::NoFiles));
    in_time(reloader.clone().watch(SECOND)).await;
    assert_eq!(change.served(&running).await, change.old.cert);
    reloader.replace(config(&change.new));
    assert_eq!(change.served(&running).await, change.new.cert);
}

#[tokio::test]
async fn served_certificates_and_the_last_reload_are_reported() {
    let change = Change::new();
    let layer = TlsLayer::builder()
        .certificate(&change.cert, &change.key)
        .certificate_for("localhost", &change.cert, &change.key)
        .build()
        .unwrap();
    let reloader = layer.reloader();
    assert!(reloader.last_reload().is_none());
    let served = reloader.certificates();
    assert_eq!(served.len(), 2);
    assert_eq!(served[0].name, None);
    assert_eq!(served[1].name.as_deref(), Some("localhost"));
    // The default of rcgen.
    let at = std::time::UNIX_EPOCH + Duration::from_secs(67_090_118_400);
    assert_eq!(served[0].not_after, Some(at));
    reloader.reload().await.unwrap();
    assert!(reloader.last_reload().unwrap().result.is_ok());
    fs::write(&change.key, "").unwrap();
    reloader.reload().await.unwrap_err();
    assert!(reloader.last_reload().unwrap().result.is_err());
    assert_eq!(reloader.certificates().len(), 2, "the old ones are served");
}

#[tokio::test]
async fn a_chain_that_is_being_written_is_not_taken() {
    let change = Change::new();
    let layer = change.layer();
    let reloader = layer.reloader();
    let running = Running::new(layer).await;
    // The new certificate is there, and its key follows between two checks.
    fs::write(&change.cert, &change.new.pem).unwrap();
    let writing = async {
        sleep(Duration::from_millis(10)).await;
        fs::write(&change.key, change.new.key.serialize_pem()).unwrap();
    };
    let (result, ()) = tokio::join!(reloader.reload(), writing);
    result.unwrap();
    assert_eq!(change.served(&running).await, change.new.cert);
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
    let change = Change::new();
    let layer = change.layer();
    let reloader = layer.reloader();
    let running = Running::new(layer).await;
    // Reading from a pipe blocks until there is a writer.
    fs::remove_file(&change.key).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(&change.key)
        .status();
    assert!(made.unwrap().success());
    let error = in_time(reloader.reload()).await.unwrap_err();
    assert!(
        in_full(&*error).contains("expected a regular file"),
        "{error}"
    );
    assert_eq!(change.served(&running).await, change.old.cert);
    fs::remove_file(&change.key).unwrap();
    fs::write(&change.key, change.old.key.serialize_pem()).unwrap();
    in_time(reloader.reload()).await.unwrap();
}
