//! TLS with `openssl s_client`.

use super::{Events, gateway_with_events, in_time, metric, upstream};
use crate::program::Example;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams,
};
use reagent::{BoxError, ServerHandle};
use std::{fmt::Display, fs, io::ErrorKind, process::Stdio, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::PrivateKeyDer},
};

/// Returns the output of `openssl s_client` after it has sent `text` and received a response.
/// Prints a message and returns `None` if it is not installed.
pub async fn s_client(addr: impl Display, args: &[&str], text: &str) -> Option<String> {
    let child = Command::new("openssl")
        .args(["s_client", "-connect", &addr.to_string()])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            crate::skipped::skipped("openssl is not installed");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(text.as_bytes()).await;
    let mut said = Vec::new();
    let mut stdout = child.stdout.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let reading = async {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = stdout.read(&mut chunk).await {
            said.extend_from_slice(&chunk[..n]);
            if said
                .windows(text.len() + 1)
                .any(|part| part.ends_with(text.as_bytes()) && part[0] == b' ')
            {
                break;
            }
        }
        drop(stdin);
        stdout.read_to_end(&mut said).await.unwrap();
        stderr.read_to_end(&mut said).await.unwrap();
    };
    in_time(reading).await;
    Some(String::from_utf8_lossy(&said).into_owned())
}

/// A certificate authority, and the files it has issued.
pub struct Pki {
    dir: tempfile::TempDir,
    pub authority: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
        Pki { dir, authority }
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes `name.pem` and `name.key`.
    pub fn write(&self, name: &str, common_name: &str, usage: ExtendedKeyUsagePurpose) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.authority).unwrap();
        fs::write(self.path(&format!("{name}.pem")), cert.pem()).unwrap();
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

async fn open(pki: &Pki, args: &[&str]) -> (Example, ServerHandle, Events) {
    let upstream = upstream().await;
    pki.write("server", "first", ExtendedKeyUsagePurpose::ServerAuth);
    let (cert, key) = (pki.path("server.pem"), pki.path("server.key"));
    let args = [&["--tls-cert", &cert, "--tls-key", &key], args].concat();
    let to = upstream.local_addr().to_string();
    let (gateway, events) = gateway_with_events(&to, &args).await;
    (gateway, upstream, events)
}

#[tokio::test]
async fn both_versions_with_alpn_and_resumption() -> Result<(), BoxError> {
    let pki = Pki::new();
    let (gateway, _upstream, _events) =
        open(&pki, &["--alpn", "h2,echo", "--proxy-out", "v2"]).await;
    let (ca, session) = (pki.path("ca.pem"), pki.path("session"));
    for version in ["1.2", "1.3"] {
        let flag = format!("-tls{}", version.replace('.', "_"));
        for (sess, is_resumed) in [("-sess_out", false), ("-sess_in", true)] {
            let args = [
                &*flag,
                "-CAfile",
                &ca,
                "-verify_return_error",
                "-servername",
                "localhost",
            ];
            let args = [&args[..], &["-alpn", "echo", sess, &session]].concat();
            let Some(said) = s_client(&gateway.addr, &args, "hello\n").await else {
                return Ok(());
            };
            let expected = format!(" tls=TLSv{version} alpn=echo name=localhost> hello");
            assert!(said.contains(&expected), "{said}");
            assert_eq!(
                said.contains(&format!("Reused, TLSv{version}")),
                is_resumed,
                "{said}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn clients_show_a_certificate() -> Result<(), BoxError> {
    let pki = Pki::new();
    let ca = pki.path("ca.pem");
    let (gateway, upstream, _events) = open(&pki, &["--client-ca", &ca]).await;
    pki.write("client", "alice", ExtendedKeyUsagePurpose::ClientAuth);
    let Some(said) = s_client(&gateway.addr, &["-CAfile", &ca], "hello\n").await else {
        return Ok(());
    };
    assert!(!said.contains("> hello"), "{said}");
    assert!(said.contains("certificate required"), "{said}");
    assert_eq!(upstream.stats().accepted, 0);

    let (cert, key) = (pki.path("client.pem"), pki.path("client.key"));
    let args = ["-CAfile", &ca, "-cert", &cert, "-key", &key];
    let said = s_client(&gateway.addr, &args, "hello\n").await.unwrap();
    assert!(said.contains("<none> hello"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_hangup_reloads_the_certificate_unless_it_is_bad() -> Result<(), BoxError> {
    let pki = Pki::new();
    let args = ["--metrics", "127.0.0.1:0"];
    let (mut gateway, _upstream, mut events) = open(&pki, &args).await;
    let metrics = gateway.line().await;
    let metrics = metrics.strip_prefix("metrics on ").expect(&metrics);
    let subject = async || {
        let said = s_client(&gateway.addr, &["-servername", "localhost"], "hello\n").await?;
        let line = said.lines().find(|line| line.starts_with("subject="))?;
        Some(line.rsplit_once("= ").unwrap().1.to_owned())
    };
    let Some(name) = subject().await else {
        return Ok(());
    };
    assert_eq!(name, "first");

    pki.write("server", "second", ExtendedKeyUsagePurpose::ServerAuth);
    assert_eq!(subject().await.unwrap(), "first", "nobody has said so yet");
    gateway.signal("HUP").await;
    events.with("certificates reloaded").await;
    assert_eq!(subject().await.unwrap(), "second");

    fs::write(pki.path("server.pem"), "nonsense")?;
    gateway.signal("HUP").await;
    let event = events.with("ERROR").await;
    assert!(event.contains("the old ones remain in use"), "{event}");
    assert!(event.contains("server.pem"), "{event}");
    assert_eq!(subject().await.unwrap(), "second");
    for result in ["success", "failure"] {
        let reloads = format!("reagent_tls_certificate_reloads_total{{result=\"{result}\"}}");
        assert_eq!(metric(metrics, &reloads).await, Some(1.0), "{result}");
    }
    let expiry = "reagent_tls_certificate_expiry_timestamp_seconds{name=\"default\"}";
    assert!(metric(metrics, expiry).await.is_some_and(|at| at > 0.0));
    gateway.stop("TERM").await;
    Ok(())
}

/// Writes a list of revoked certificates, by their serial numbers.
fn revoke(pki: &Pki, serials: &[u64]) {
    let revoked = serials.iter().map(|&serial| RevokedCertParams {
        serial_number: serial.into(),
        revocation_time: rcgen::date_time_ymd(2020, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2020, 1, 1),
        next_update: rcgen::date_time_ymd(2100, 1, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&pki.authority).unwrap();
    fs::write(pki.path("crl.pem"), list.pem().unwrap()).unwrap();
}

#[tokio::test]
async fn a_reload_ends_the_connections_of_revoked_clients() -> Result<(), BoxError> {
    let pki = Pki::new();
    revoke(&pki, &[1]);
    let (ca, crl) = (pki.path("ca.pem"), pki.path("crl.pem"));
    let args = [
        "--client-ca",
        &ca,
        "--client-crl",
        &crl,
        "--apply-to",
        "existing",
    ];
    let (gateway, _upstream, mut events) = open(&pki, &args).await;
    let mut clients = Vec::new();
    for serial in [2_u64, 3] {
        let mut params = CertificateParams::default();
        params.serial_number = Some(serial.into());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &pki.authority)?;
        let mut roots = RootCertStore::empty();
        roots.add(pki.authority.der().clone())?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![cert.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )?;
        let connector = TlsConnector::from(Arc::new(config));
        let name = "localhost".try_into()?;
        let client = connector.connect(name, gateway.connect().await);
        clients.push(in_time(client).await?);
    }
    // Twice, since the second reload has to know the connections as well as the first.
    for _ in 0..2 {
        for client in &mut clients {
            client.write_all(b"hello\n").await?;
            let mut answer = [0; 13];
            in_time(client.read_exact(&mut answer)).await?;
            assert_eq!(&answer, b"<none> hello\n");
        }
        gateway.signal("HUP").await;
        events.with("certificates reloaded").await;
    }
    revoke(&pki, &[1, 2]);
    gateway.signal("HUP").await;
    events.with("certificates reloaded").await;
    let end = in_time(clients[0].read(&mut [0])).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    clients[1].write_all(b"hello\n").await?;
    in_time(clients[1].read_exact(&mut [0; 13])).await?;
    Ok(())
}
