//! Clients that are revoked, or whose authority is no longer trusted, before and after they
//! connect.

use super::{
    pki::{BOTH, Ca, Dir, Made},
    running::{Running, in_full, in_time},
};
use crate::support::{LONG, echoes};
use reagent::Outcome;
use reagent_layers::{
    Apply,
    tls::{HandshakeErrorKind, TlsBuilder, TlsLayer, rustls::ClientConfig},
};
use std::{fs, process::Command, sync::Arc};
use tokio::io::AsyncReadExt;

/// Revokes these certificates with openssl, and writes a list that is valid for a day, or was so in
/// the past. Returns `false` if openssl is not installed.
fn write_list(dir: &Dir, ca: &Ca, revoked: &[&Made], is_expired: bool) -> bool {
    let text = |name: &str| dir.path(name).to_str().unwrap().to_owned();
    dir.write("ca.key", ca.key_pem());
    dir.write("index.txt", "");
    dir.write("number", "01");
    let config = format!(
        "[ca]\ndefault_ca = test\n[test]\ndatabase = {}\ncrlnumber = {}\ndefault_md = sha256\n\
         crl_extensions = crl\ncertificate = {}\nprivate_key = {}\n\
         [crl]\nauthorityKeyIdentifier = keyid:always\n",
        text("index.txt"),
        text("number"),
        text("ca.pem"),
        text("ca.key"),
    );
    let config = dir.write("openssl.cnf", config);
    let openssl = |args: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(["ca", "-config"]).arg(&config).args(args);
        command.output()
    };
    for (n, made) in revoked.iter().enumerate() {
        let name = format!("revoked-{n}.pem");
        dir.write(&name, &made.pem);
        match openssl(&["-revoke", &text(&name)]) {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(_) => {
                crate::skipped::skipped("openssl is not installed");
                return false;
            }
        }
    }
    let list = text("crl.pem");
    let dates: &[&str] = match is_expired {
        true => &[
            "-crl_lastupdate",
            "20200101000000Z",
            "-crl_nextupdate",
            "20200102000000Z",
        ],
        false => &["-crldays", "1"],
    };
    let output = openssl(&[&["-gencrl", "-out", &list], dates].concat());
    assert!(output.as_ref().unwrap().status.success(), "{output:?}");
    true
}

fn builder(dir: &Dir, ca: &Ca) -> TlsBuilder {
    let (cert, key) = ca.server(&["localhost"]).write(dir, "localhost");
    dir.write("ca.pem", ca.pem());
    TlsLayer::builder()
        .certificate(cert, key)
        .require_client_certificates(dir.path("ca.pem"))
}

fn config(ca: &Ca, client: &Made) -> Arc<ClientConfig> {
    Arc::new(ca.believer_with(client, BOTH))
}

#[tokio::test]
async fn a_revoked_client_is_refused_from_the_reload_on() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (alice, bob) = (ca.client("alice"), ca.client("bob"));
    let builder = builder(&dir, &ca);
    if !write_list(&dir, &ca, &[&alice], false) {
        return;
    }
    let layer = builder.client_crls(dir.path("crl.pem")).build().unwrap();
    let reloader = layer.reloader();
    let mut running = Running::new(layer).await;
    let _refused = running.connect(&config(&ca, &alice), "localhost").await;
    assert_eq!(
        running.failure().await,
        HandshakeErrorKind::BadClientCertificate
    );
    let mut client = running
        .connect(&config(&ca, &bob), "localhost")
        .await
        .unwrap();
    assert!(echoes(&mut client, "hello").await);

    write_list(&dir, &ca, &[&alice, &bob], false);
    reloader.reload().await.unwrap();
    let _refused = running.connect(&config(&ca, &bob), "localhost").await;
    assert_eq!(
        running.failure().await,
        HandshakeErrorKind::BadClientCertificate
    );
    // By default, open connections stay.
    assert!(echoes(&mut client, "hello").await);

    // Without a current list, it is unknown which clients have been revoked.
    write_list(&dir, &ca, &[&alice], true);
    reloader.reload().await.unwrap();
    let _refused = running.connect(&config(&ca, &bob), "localhost").await;
    assert_eq!(
        running.failure().await,
        HandshakeErrorKind::BadClientCertificate
    );
}

#[tokio::test]
async fn open_connections_of_revoked_clients_end_where_asked() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (alice, bob) = (ca.client("alice"), ca.client("bob"));
    let builder = builder(&dir, &ca);
    if !write_list(&dir, &ca, &[&ca.client("eve")], false) {
        return;
    }
    let layer = builder
        .client_crls(dir.path("crl.pem"))
        .apply(Apply::Existing)
        .build()
        .unwrap();
    let reloader = layer.reloader();
    let mut running = Running::new(layer).await;
    let mut revoked = Vec::new();
    for _ in 0..3 {
        let client = running.connect(&config(&ca, &alice), "localhost").await;
        revoked.push(client.unwrap());
        assert!(echoes(revoked.last_mut().unwrap(), "hello").await);
    }
    let mut client = running
        .connect(&config(&ca, &bob), "localhost")
        .await
        .unwrap();
    assert!(echoes(&mut client, "hello").await);
    reloader.reload().await.unwrap();
    assert!(echoes(&mut client, "still here").await);

    write_list(&dir, &ca, &[&alice], false);
    reloader.reload().await.unwrap();
    for client in &mut revoked {
        let outcome = running.end().await;
        let reason =
            matches!(&outcome, Outcome::Rejected(it) if it.reason() == "client certificate");
        assert!(reason, "{outcome}");
        let end = in_time(client.read(&mut [0])).await;
        assert!(matches!(end, Ok(0) | Err(_)));
    }
    assert!(echoes(&mut client, "still here").await);
    assert_eq!(running.server.connection_count(), 1);
}

#[tokio::test]
async fn open_connections_end_with_the_trust_in_their_authority() {
    let (dir, ca, other) = (Dir::new(), Ca::new("ca"), Ca::new("other"));
    let (cert, key) = ca.server(&["localhost"]).write(&dir, "localhost");
    let authorities = dir.write("both.pem", ca.pem() + &other.pem());
    let layer = TlsLayer::builder()
        .certificate(cert, key)
        .request_client_certificates(&authorities)
        .apply(Apply::Existing)
        .build()
        .unwrap();
    let reloader = layer.reloader();
    let mut running = Running::new(layer).await;
    let mut clients = Vec::new();
    let anonymous = Arc::new(ca.believer(BOTH));
    let of_other = Arc::new(ca.believer_with(&other.client("bob"), BOTH));
    for config in [config(&ca, &ca.client("alice")), anonymous, of_other] {
        let mut client = running.connect(&config, "localhost").await.unwrap();
        assert!(echoes(&mut client, "hello").await);
        clients.push(client);
    }
    fs::write(&authorities, ca.pem()).unwrap();
    reloader.reload().await.unwrap();
    assert!(matches!(running.end().await, Outcome::Rejected(_)));
    for client in &mut clients[..2] {
        assert!(echoes(client, "still here").await);
    }
    // A reload that fails changes nothing.
    fs::write(&authorities, "nothing").unwrap();
    reloader.reload().await.unwrap_err();
    assert!(echoes(&mut clients[0], "still here").await);
}

#[tokio::test]
async fn what_another_layer_has_loaded_applies_to_open_connections_too() {
    let (dir, ca, other) = (Dir::new(), Ca::new("ca"), Ca::new("other"));
    let builder = builder(&dir, &ca).apply(Apply::Existing);
    let layer = builder.clone().build().unwrap();
    let reloader = layer.reloader();
    let mut running = Running::new(layer).await;
    let alice = config(&ca, &ca.client("alice"));
    let mut client = running.connect(&alice, "localhost").await.unwrap();
    assert!(echoes(&mut client, "hello").await);
    reloader.replace_with(&builder.clone().build().unwrap());
    assert!(echoes(&mut client, "still here").await);
    dir.write("ca.pem", other.pem());
    reloader.replace_with(&builder.build().unwrap());
    assert!(matches!(running.end().await, Outcome::Rejected(_)));
    let _refused = running.connect(&alice, "localhost").await;
    assert_eq!(
        running.failure().await,
        HandshakeErrorKind::BadClientCertificate
    );
}

/// The reload comes at the worst moment: when the client was verified, and its handshake is not yet
/// complete.
#[tokio::test]
async fn a_reload_during_the_handshake_is_not_missed() {
    use reagent_layers::tls::rustls::version::TLS12;
    use tokio::io::AsyncWriteExt;

    let (dir, ca, other) = (Dir::new(), Ca::new("ca"), Ca::new("other"));
    let layer = builder(&dir, &ca).apply(Apply::Existing).build().unwrap();
    let reloader = layer.reloader();
    let mut running = Running::new(layer).await;
    // The client's bytes pass through here, up to the last flight of the handshake.
    let mut server_side = running.clients.connect().await.unwrap();
    let (client_side, mut pipe) = tokio::io::duplex(64 * 1024);
    let config = Arc::new(ca.believer_with(&ca.client("alice"), &[&TLS12]));
    let name = "localhost".try_into().unwrap();
    let connecting = tokio_rustls::TlsConnector::from(config).connect(name, client_side);
    let relay = async {
        let mut buf = vec![0; 64 * 1024];
        let n = in_time(pipe.read(&mut buf)).await.unwrap();
        server_side.write_all(&buf[..n]).await.unwrap();
        let n = in_time(server_side.read(&mut buf)).await.unwrap();
        pipe.write_all(&buf[..n]).await.unwrap();
        let n = in_time(pipe.read(&mut buf)).await.unwrap();
        // All but the last byte, which is one of the encrypted Finished message.
        server_side.write_all(&buf[..n - 1]).await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        fs::write(dir.path("ca.pem"), other.pem()).unwrap();
        reloader.reload().await.unwrap();
        server_side.write_all(&buf[n - 1..n]).await.unwrap();
        let outcome = tokio::time::timeout(LONG, running.end()).await.unwrap();
        assert!(
            matches!(&outcome, Outcome::Rejected(it) if it.reason() == "client certificate"),
            "{outcome}"
        );
    };
    tokio::select! {
        () = relay => {}
        connected = connecting => panic!("{:?}", connected.err()),
    }
}

#[test]
fn lists_that_cannot_be_used_are_errors() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let builder = builder(&dir, &ca);
    let error = |builder: TlsBuilder| in_full(&builder.build().unwrap_err());
    let list = "-----BEGIN X509 CRL-----\naGVsbG8=\n-----END X509 CRL-----\n";
    let bad = dir.write("bad.pem", list);
    assert!(error(builder.clone().client_crls(&bad)).contains("cannot use the revocation lists"));
    let missing = error(builder.client_crls(dir.path("ca.pem")));
    assert!(missing.starts_with("no revocation list in"), "{missing}");
    let (cert, key) = ca.server(&["localhost"]).write(&dir, "localhost");
    let unused = TlsLayer::builder().certificate(cert, key).client_crls(&bad);
    assert!(error(unused).contains("have no use"));
}
