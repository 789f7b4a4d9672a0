//! Ticket keys from files, OCSP responses, and clients that are admitted by their names.

use super::{
    Events,
    config::Files,
    in_time, metric, started,
    tls::{Pki, s_client},
    upstream,
};
use crate::program::Example;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};
use reagent::{BoxError, ServerHandle};
use std::{fs, io, os::unix::fs::PermissionsExt, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

/// A gateway with a certificate, whose listener has more options.
struct Running {
    gateway: Example,
    upstream: ServerHandle,
    events: Events,
    files: Files,
}

impl Running {
    async fn new(pki: &Pki, options: &str) -> Self {
        let (upstream, files) = (upstream().await, Files::new(""));
        write(&files, pki, &upstream, options);
        let (gateway, events) = started(&files, &[]).await;
        Running {
            gateway,
            upstream,
            events,
            files,
        }
    }

    /// Reloads with other options, and returns the event that contains these words.
    async fn reload(&mut self, pki: &Pki, options: &str, words: &str) -> String {
        write(&self.files, pki, &self.upstream, options);
        self.gateway.signal("HUP").await;
        self.events.with(words).await
    }
}

fn write(files: &Files, pki: &Pki, upstream: &ServerHandle, options: &str) {
    let config = format!(
        "metrics = '127.0.0.1:0'\n[[listener]]\nlabel = 'web'\nlisten = '127.0.0.1:0'\nto = '{}'\n\
         tls-cert = '{}'\ntls-key = '{}'\n{options}\n",
        upstream.local_addr(),
        pki.path("server.pem"),
        pki.path("server.key"),
    );
    files.write("gateway.toml", &config);
}

fn write_key(pki: &Pki, name: &str, byte: u8) -> String {
    let path = pki.path(name);
    fs::write(&path, [byte; 80]).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[tokio::test]
async fn gateways_with_the_same_ticket_keys_resume_each_others_sessions() -> Result<(), BoxError> {
    let pki = Pki::new();
    pki.write("server", "server", ExtendedKeyUsagePurpose::ServerAuth);
    let (old, new) = (write_key(&pki, "old.key", 1), write_key(&pki, "new.key", 2));
    let both = format!("tls-ticket-keys = ['{new}', '{old}']");
    let mut first = Running::new(&pki, &format!("tls-ticket-keys = '{old}'")).await;
    let second = Running::new(&pki, &both).await;
    let session = pki.path("session");
    let resumes = async |running: &Running, version: &str, action: &str| {
        let args = [version, "-servername", "localhost", action, &session];
        let said = s_client(&running.gateway.addr, &args, "hello\n").await?;
        Some(said.contains("Reused, TLS"))
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let Some(is_resumed) = resumes(&first, version, "-sess_out").await else {
            return Ok(());
        };
        assert!(!is_resumed);
        assert_eq!(resumes(&second, version, "-sess_in").await, Some(true));
        // The first one does not know the new key yet.
        assert_eq!(resumes(&second, version, "-sess_out").await, Some(false));
        assert_eq!(resumes(&first, version, "-sess_in").await, Some(false));
    }
    fs::write(&new, "short")?;
    let event = first.reload(&pki, &both, "ERROR").await;
    let expected = "new.key: expected 80 or 48 random bytes";
    assert!(event.contains(expected), "{event}");
    write_key(&pki, "new.key", 2);
    first.reload(&pki, &both, "certificates reloaded").await;
    for version in ["-tls1_2", "-tls1_3"] {
        assert_eq!(resumes(&second, version, "-sess_out").await, Some(false));
        assert_eq!(resumes(&first, version, "-sess_in").await, Some(true));
    }
    Ok(())
}

/// Writes a response about the certificate of the server. Returns its path, or `None` if openssl is
/// not installed.
async fn write_staple(pki: &Pki) -> Option<String> {
    let openssl = async |args: &[&str]| {
        let output = Command::new("openssl").args(args).output();
        in_time(output).await.ok()
    };
    let (ca, key) = (pki.path("ca.pem"), pki.path("ca.key"));
    let (cert, index, staple) = (
        pki.path("server.pem"),
        pki.path("index.txt"),
        pki.path("staple.der"),
    );
    fs::write(&key, pki.authority.key().serialize_pem()).unwrap();
    let Some(serial) = openssl(&["x509", "-in", &cert, "-noout", "-serial"]).await else {
        crate::skipped::skipped("openssl is not installed");
        return None;
    };
    let serial = String::from_utf8(serial.stdout).unwrap();
    let serial = serial.trim().strip_prefix("serial=").unwrap();
    let line = format!("V\t21000101000000Z\t\t{serial}\tunknown\t/CN=server\n");
    fs::write(&index, line).unwrap();
    let signed = ["-rsigner", &ca, "-rkey", &key, "-CA", &ca, "-issuer", &ca];
    let about = ["-index", &index, "-cert", &cert, "-ndays", "1"];
    let args = [&["ocsp"], &signed[..], &about, &["-respout", &staple]].concat();
    let made = openssl(&args).await.unwrap();
    assert!(made.status.success(), "{made:?}");
    Some(staple)
}

#[tokio::test]
async fn an_ocsp_response_of_openssl_is_stapled() -> Result<(), BoxError> {
    let pki = Pki::new();
    pki.write("server", "server", ExtendedKeyUsagePurpose::ServerAuth);
    let Some(staple) = write_staple(&pki).await else {
        return Ok(());
    };
    let options = format!("tls-ocsp = '{staple}'");
    let mut running = Running::new(&pki, &options).await;
    let (addr, ca) = (running.gateway.addr.to_string(), pki.path("ca.pem"));
    let said = async || {
        let args = ["-status", "-servername", "localhost", "-CAfile", &ca];
        s_client(&addr, &args, "hello\n").await.unwrap()
    };
    let first = said().await;
    assert!(
        first.contains("OCSP Response Status: successful"),
        "{first}"
    );
    assert!(first.contains("Cert Status: good"), "{first}");

    // A new certificate needs a new response.
    pki.write("server", "second", ExtendedKeyUsagePurpose::ServerAuth);
    let event = running.reload(&pki, &options, "ERROR").await;
    let expected = "staple.der: it is for another certificate";
    assert!(event.contains(expected), "{event}");
    assert!(said().await.contains("Cert Status: good"));
    write_staple(&pki).await;
    running
        .reload(&pki, &options, "certificates reloaded")
        .await;
    let second = said().await;
    assert!(
        second.contains("CN = second") && second.contains("Cert Status: good"),
        "{second}"
    );
    Ok(())
}

/// Writes the certificate of a client with this SPIFFE ID and common name.
fn write_client(pki: &Pki, name: &str) {
    let mut params = CertificateParams::default();
    let uri = format!("spiffe://example.org/{name}");
    params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().unwrap())];
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let cert = params.signed_by(&key, &pki.authority).unwrap();
    fs::write(pki.path(&format!("{name}.pem")), cert.pem()).unwrap();
    fs::write(pki.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
}

/// Starts `openssl s_client`, which stays connected.
fn connect(pki: &Pki, addr: &str, name: &str) -> io::Result<Child> {
    let (cert, key) = (
        pki.path(&format!("{name}.pem")),
        pki.path(&format!("{name}.key")),
    );
    Command::new("openssl")
        .args([
            "s_client",
            "-quiet",
            "-connect",
            addr,
            "-servername",
            "localhost",
        ])
        .args(["-cert", &cert, "-key", &key])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}

/// Sends a line, and returns the response, which is empty if the connection has ended.
async fn say(client: &mut Child) -> io::Result<String> {
    let _ = client.stdin.as_mut().unwrap().write_all(b"hello\n").await;
    let mut line = String::new();
    let mut stdout = BufReader::new(client.stdout.as_mut().unwrap());
    in_time(stdout.read_line(&mut line)).await?;
    Ok(line)
}

#[tokio::test]
async fn clients_are_admitted_by_name_until_the_name_is_removed() -> Result<(), BoxError> {
    let pki = Pki::new();
    pki.write("server", "server", ExtendedKeyUsagePurpose::ServerAuth);
    for name in ["alice", "bob", "eve"] {
        write_client(&pki, name);
    }
    let options = |names: &str| {
        let ca = pki.path("ca.pem");
        format!("client-ca = '{ca}'\napply-to = 'existing'\ntls-admit = {names}")
    };
    let both = options("['uri:spiffe://example.org/alice', 'cn:bob']");
    let mut running = Running::new(&pki, &both).await;
    let metrics = running.gateway.line().await;
    let metrics = metrics.strip_prefix("metrics on ").expect(&metrics);
    let addr = running.gateway.addr.to_string();
    let Ok(mut alice) = connect(&pki, &addr, "alice") else {
        crate::skipped::skipped("openssl is not installed");
        return Ok(());
    };
    let mut bob = connect(&pki, &addr, "bob")?;
    assert_eq!(say(&mut alice).await?, "<none> hello\n");
    assert_eq!(say(&mut bob).await?, "<none> hello\n");
    assert_eq!(say(&mut connect(&pki, &addr, "eve")?).await?, "");
    let refused = async || {
        let labels = format!("listener=\"{addr}\",reason=\"identity\"");
        let name = format!("reagent_connections_rejected_total{{{labels}}}");
        metric(metrics, &name).await
    };
    assert_eq!(refused().await, Some(1.0));
    assert_eq!(running.upstream.stats().accepted, 2);

    let one = options("'cn:bob'");
    running.reload(&pki, &one, "certificates reloaded").await;
    assert_eq!(say(&mut alice).await?, "");
    assert_eq!(say(&mut bob).await?, "<none> hello\n");
    assert_eq!(refused().await, Some(2.0));
    assert_eq!(say(&mut connect(&pki, &addr, "alice")?).await?, "");
    Ok(())
}
