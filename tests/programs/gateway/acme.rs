//! Certificates by ACME, from `pebble`, the test server of Let's Encrypt.

use super::{Events, config::Files, in_time, metric, tls::s_client, upstream};
use crate::{
    port::Port,
    program::{Example, binary},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use reagent::{BoxError, ServerHandle};
use std::{
    fs,
    io::{self, ErrorKind},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    time::sleep,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject},
};

const FIRST: &str = "first.example.test";
const SECOND: &str = "second.example.test";
const BLOCKED: &str = "blocked.example.test";

/// A directory server, the DNS server that it asks, and the gateway's files.
struct Pebble {
    files: Files,
    ports: Ports,
    _dns: Child,
    server: Child,
}

struct Ports {
    directory: Port,
    management: Port,
    dns: Port,
    /// That of the gateway, at which names are validated.
    gateway: Port,
}

impl Pebble {
    /// Prints a message and returns `None` if it is not installed.
    async fn start() -> Option<Self> {
        let files = Files::new("");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let own = params.signed_by(&key, &ca).unwrap();
        files.write("ca.pem", &ca.pem());
        files.write("own.pem", &own.pem());
        files.write("own.key", &key.serialize_pem());
        let ports = Ports {
            directory: Port::new(),
            management: Port::new(),
            dns: Port::new(),
            gateway: Port::new(),
        };
        let config = serde_json::json!({ "pebble": {
            "listenAddress": ports.directory.addr(),
            "managementListenAddress": ports.management.addr(),
            "certificate": files.path("own.pem"),
            "privateKey": files.path("own.key"),
            "httpPort": 1,
            "tlsPort": ports.gateway.number(),
            "domainBlocklist": [BLOCKED],
        }});
        files.write("pebble.json", &config.to_string());
        let dns = Command::new("pebble-challtestsrv")
            .args(["-dns01", &ports.dns.addr().to_string()])
            .args(["-defaultIPv6", "", "-http01", "", "-https01", ""])
            .args(["-tlsalpn01", "", "-management", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let dns = match dns {
            Ok(dns) => dns,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                crate::skipped::skipped("pebble is not installed");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let server = spawn(&files, &ports).await;
        let pebble = Pebble {
            files,
            ports,
            _dns: dns,
            server,
        };
        let root = pebble.get("/roots/0").await;
        pebble.files.write("root.pem", &root);
        Some(pebble)
    }

    /// Forgets everything, as it does without a disk.
    async fn restart(&mut self) {
        self.server.kill().await.unwrap();
        self.server = spawn(&self.files, &self.ports).await;
        self.files.write("root.pem", &self.get("/roots/0").await);
    }

    async fn get(&self, path: &str) -> String {
        let addr = self.ports.management.addr();
        let stream = in_time(TcpStream::connect(addr)).await.unwrap();
        let roots = [self.files.path("ca.pem")];
        let mut stream = shake(stream, "localhost", &roots).await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _ = in_time(stream.read_to_string(&mut answer)).await;
        let (_, body) = answer.split_once("\r\n\r\n").expect("an answer");
        body.to_owned()
    }

    fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.ports.directory.number())
    }

    /// Returns the folder of the gateway's files for this server.
    fn folder(&self) -> PathBuf {
        let name = format!("localhost_{}_dir", self.ports.directory.number());
        Path::new(&self.files.path("state")).join(name)
    }

    fn options(&self, domains: &[&str]) -> Vec<String> {
        let mut options = vec![
            "--acme-directory".to_owned(),
            self.directory(),
            "--acme-root".to_owned(),
            self.files.path("ca.pem"),
            "--acme-state".to_owned(),
            self.files.path("state"),
            "--acme-contact".to_owned(),
            "admin@example.test".to_owned(),
        ];
        for domain in domains {
            options.extend(["--acme-domain".to_owned(), (*domain).to_owned()]);
        }
        options
    }

    /// Starts a gateway at the port where names are validated.
    async fn gateway(&self, to: &ServerHandle, domains: &[&str]) -> (Example, Events) {
        let options = self.options(domains);
        let mut args: Vec<&str> = options.iter().map(|option| &**option).collect();
        let listen = self.ports.gateway.addr().to_string();
        args.extend(["--listen", &listen]);
        super::gateway_with_events(&to.local_addr().to_string(), &args).await
    }

    /// Keeps a certificate of another authority for a domain, valid for these years.
    fn keep(&self, domain: &str, years: (i32, i32)) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([domain.to_owned()]).unwrap();
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        let own = params.self_signed(&key).unwrap();
        let folder = self.folder();
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        self.files.write("kept.pem", &own.pem());
        let kept = folder.join(format!("{domain}.pem"));
        fs::write(&kept, [key.serialize_pem(), own.pem()].concat()).unwrap();
        fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Connects to the gateway, trusting the authorities in these files.
    async fn connect(&self, domain: &str, roots: &[&str]) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.ports.gateway.addr()).await?;
        let roots: Vec<String> = roots.iter().map(|name| self.files.path(name)).collect();
        shake(stream, domain, &roots).await
    }
}

async fn spawn(files: &Files, ports: &Ports) -> Child {
    let server = Command::new("pebble")
        .args(["-config", &files.path("pebble.json")])
        .args(["-dnsserver", &ports.dns.addr().to_string()])
        .env("PEBBLE_VA_NOSLEEP", "1")
        // By default, one nonce in twenty is refused. So one order in some hundreds fails, and the
        // next attempt is a minute later.
        .env("PEBBLE_WFE_NONCEREJECT", "0")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ready = async {
        for port in [&ports.directory, &ports.management] {
            while TcpStream::connect(port.addr()).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        }
    };
    in_time(ready).await;
    server
}

async fn shake(
    stream: TcpStream,
    name: &str,
    files: &[String],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for file in files {
        for root in CertificateDer::pem_file_iter(file).unwrap() {
            roots.add(root.unwrap()).unwrap();
        }
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = name.to_owned().try_into().unwrap();
    in_time(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

async fn echoes(client: &mut TlsStream<TcpStream>) -> bool {
    client.write_all(b"hello\n").await.unwrap();
    let mut answer = [0; 13];
    in_time(client.read_exact(&mut answer)).await.is_ok() && &answer == b"<none> hello\n"
}

/// Waits for a new certificate, and returns what is logged about it.
async fn obtained(events: &mut Events) -> String {
    let event = events.with("domain=").await;
    assert!(event.contains("certificate obtained"), "{event}");
    event
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn certificates_are_obtained_kept_and_served() -> Result<(), BoxError> {
    let Some(mut pebble) = Pebble::start().await else {
        return Ok(());
    };
    let upstream = upstream().await;
    let (gateway, mut events) = pebble.gateway(&upstream, &[FIRST, SECOND]).await;
    for _ in 0..2 {
        obtained(&mut events).await;
    }
    for domain in [FIRST, SECOND] {
        let mut client = pebble.connect(domain, &["root.pem"]).await?;
        assert!(echoes(&mut client).await);
    }
    let root = pebble.files.path("root.pem");
    let args = ["-CAfile", &root, "-verify_return_error"];
    let args = [
        &args[..],
        &["-servername", FIRST, "-verify_hostname", FIRST],
    ]
    .concat();
    if let Some(said) = s_client(&gateway.addr, &args, "hello\n").await {
        assert!(
            said.contains("> hello") && said.contains("Verify return code: 0"),
            "{said}"
        );
    }
    // Nobody is served by the protocol of a challenge, and by no other name.
    let args = ["-servername", FIRST, "-alpn", "acme-tls/1"];
    if let Some(said) = s_client(&gateway.addr, &args, "hello\n").await {
        assert!(said.contains("unrecognized name"), "{said}");
    }
    assert!(
        pebble
            .connect("other.example.test", &["root.pem"])
            .await
            .is_err()
    );

    let folder = pebble.folder();
    assert_eq!(mode(Path::new(&pebble.files.path("state"))), 0o700);
    assert_eq!(mode(&folder), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.path());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    let (first, second) = (format!("{FIRST}.pem"), format!("{SECOND}.pem"));
    assert_eq!(names, ["account.json", &first, "lock", &second]);
    gateway.stop("TERM").await;

    // Without the directory server, what is kept is served.
    pebble.server.kill().await?;
    let (gateway, _events) = pebble.gateway(&upstream, &[FIRST]).await;
    let mut client = pebble.connect(FIRST, &["root.pem"]).await?;
    assert!(echoes(&mut client).await);
    assert!(pebble.connect(SECOND, &["root.pem"]).await.is_err());
    drop(client);
    gateway.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn a_certificate_is_renewed_without_losing_a_client() -> Result<(), BoxError> {
    let Some(pebble) = Pebble::start().await else {
        return Ok(());
    };
    let upstream = upstream().await;
    // In the last third of its lifetime.
    pebble.keep(FIRST, (2000, 2030));
    let (_gateway, mut events) = pebble.gateway(&upstream, &[FIRST]).await;
    let mut old = pebble.connect(FIRST, &["kept.pem"]).await?;
    let renewed = obtained(&mut events);
    tokio::pin!(renewed);
    let roots = ["kept.pem", "root.pem"];
    loop {
        tokio::select! {
            _ = &mut renewed => break,
            client = pebble.connect(FIRST, &roots) => assert!(echoes(&mut client?).await),
        }
    }
    assert!(echoes(&mut old).await, "it was there before");
    let mut new = pebble.connect(FIRST, &["root.pem"]).await?;
    assert!(echoes(&mut new).await);
    let kept = fs::read_to_string(pebble.folder().join(format!("{FIRST}.pem")))?;
    assert!(!kept.contains(&fs::read_to_string(pebble.files.path("kept.pem"))?));
    Ok(())
}

#[tokio::test]
async fn a_refused_order_changes_nothing() -> Result<(), BoxError> {
    let Some(mut pebble) = Pebble::start().await else {
        return Ok(());
    };
    let upstream = upstream().await;
    pebble.keep(BLOCKED, (2000, 2030));
    let domains = [BLOCKED, FIRST];
    let (gateway, mut events) = pebble.gateway(&upstream, &domains).await;
    let failed = events.with("no new certificate").await;
    assert!(
        failed.contains("rejectedIdentifier") && failed.contains(BLOCKED),
        "{failed}"
    );
    obtained(&mut events).await;
    let mut old = pebble.connect(BLOCKED, &["kept.pem"]).await?;
    assert!(echoes(&mut old).await);
    let mut other = pebble.connect(FIRST, &["root.pem"]).await?;
    assert!(echoes(&mut other).await);
    drop((old, other));
    gateway.stop("TERM").await;

    // A server that has forgotten the account is given its key again.
    let account = fs::read_to_string(pebble.folder().join("account.json"))?;
    pebble.restart().await;
    let (_gateway, mut events) = pebble.gateway(&upstream, &[SECOND]).await;
    obtained(&mut events).await;
    let again = fs::read_to_string(pebble.folder().join("account.json"))?;
    let key = |text: &str| -> serde_json::Value {
        let account: serde_json::Value = serde_json::from_str(text).unwrap();
        account["credentials"]["key_pkcs8"].clone()
    };
    assert!(key(&again).is_string());
    assert_eq!(key(&again), key(&account));
    Ok(())
}

#[tokio::test]
async fn a_name_is_validated_behind_routes_and_with_certificates_of_clients() -> Result<(), BoxError>
{
    let Some(pebble) = Pebble::start().await else {
        return Ok(());
    };
    let upstream = upstream().await;
    let config = format!(
        r#"
        acme-directory = "{}"
        acme-root = "ca.pem"
        acme-state = "state"
        metrics = "127.0.0.1:0"

        [[listener]]
        listen = "127.0.0.1:{}"
        acme-domain = ["{FIRST}"]
        client-ca = "ca.pem"

        [[listener.route]]
        sni = ["{FIRST}"]
        to = "{}"
        "#,
        pebble.directory(),
        pebble.ports.gateway.number(),
        upstream.local_addr()
    );
    pebble.files.write("gateway.toml", &config);
    let (mut gateway, mut events) = super::started(&pebble.files, &[]).await;
    obtained(&mut events).await;

    let page = gateway.line().await;
    let page = page.strip_prefix("metrics on ").expect(&page);
    let expiry = format!("reagent_tls_certificate_expiry_timestamp_seconds{{name=\"{FIRST}\"}}");
    let shown = async {
        loop {
            // It is updated every second.
            match metric(page, &expiry).await {
                Some(at) => return at,
                None => sleep(Duration::from_millis(50)).await,
            }
        }
    };
    assert!(in_time(shown).await > 1.8e9);
    let failures = format!("gateway_acme_failures{{domain=\"{FIRST}\"}}");
    assert_eq!(metric(page, &failures).await, Some(0.0));

    // A reload adds a name.
    let config = config.replace(
        &format!("[\"{FIRST}\"]\n        client"),
        &format!("[\"{FIRST}\", \"{SECOND}\"]\n        client"),
    );
    pebble.files.write("gateway.toml", &config);
    gateway.signal("HUP").await;
    let obtained = obtained(&mut events).await;
    assert!(obtained.contains(SECOND), "{obtained}");

    // A bad one changes nothing.
    pebble
        .files
        .write("gateway.toml", &config.replace(SECOND, "*.example.test"));
    gateway.signal("HUP").await;
    let refused = events.with("not reloaded").await;
    assert!(refused.contains("wildcards"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_successor_goes_on_with_the_renewals() -> Result<(), BoxError> {
    let Some(pebble) = Pebble::start().await else {
        return Ok(());
    };
    let upstream = upstream().await;
    let path = pebble.files.path("handover.sock");
    let start = async || {
        let mut args = pebble.options(&[FIRST]);
        let listen = pebble.ports.gateway.addr().to_string();
        args.extend([
            "--listen".to_owned(),
            listen,
            "--handover".to_owned(),
            path.clone(),
        ]);
        let args: Vec<&str> = args.iter().map(|arg| &**arg).collect();
        super::gateway_with_events(&upstream.local_addr().to_string(), &args).await
    };
    let (first, mut events) = start().await;
    obtained(&mut events).await;

    // The successor finds a certificate that is due.
    pebble.keep(FIRST, (2000, 2030));
    let (_second, mut events) = start().await;
    let renewed = obtained(&mut events).await;
    assert!(renewed.contains(FIRST), "{renewed}");
    let mut client = pebble.connect(FIRST, &["root.pem"]).await?;
    assert!(echoes(&mut client).await);
    first.ended().await;
    Ok(())
}

#[tokio::test]
async fn a_directory_that_hangs_delays_nobody() -> Result<(), BoxError> {
    let Some(mut pebble) = Pebble::start().await else {
        return Ok(());
    };
    pebble.server.kill().await?;
    let hanging = TcpListener::bind(pebble.ports.directory.addr())?;
    let upstream = upstream().await;
    pebble.keep(FIRST, (2000, 2030));
    let (gateway, _events) = pebble.gateway(&upstream, &[FIRST]).await;
    let _asked = in_time(tokio::task::spawn_blocking(move || hanging.accept())).await??;
    let mut client = pebble.connect(FIRST, &["kept.pem"]).await?;
    assert!(echoes(&mut client).await);
    drop(client);
    gateway.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() -> Result<(), BoxError> {
    let files = Files::new("");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    files.write("ca.pem", &made.cert.pem());
    let folder = Path::new(&files.path("state")).join("acme.example.test_dir");
    let run = async |state: &str, more: &[&str]| {
        let mut command = Command::new(binary("gateway"));
        command.args(["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1"]);
        command.args(["--acme-directory", "https://acme.example.test/dir"]);
        command.args(["--acme-root", &files.path("ca.pem")]);
        command
            .args(["--acme-state", &files.path(state)])
            .args(more);
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = in_time(output).await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let domain = ["--acme-domain", "a.example.test"];
    let checked = [&domain[..], &["--check"]].concat();

    let (is_valid, said) = run("state", &checked).await;
    assert!(is_valid, "{said}");
    assert!(
        said.contains("tls: certificates by ACME for a.example.test"),
        "{said}"
    );
    assert!(!folder.exists(), "a check changes nothing");

    let (is_valid, said) = run("ca.pem", &domain).await;
    assert!(
        !is_valid && said.contains("Not a directory") && said.contains("ca.pem"),
        "{said}"
    );

    fs::create_dir_all(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    let (is_valid, said) = run("state", &domain).await;
    assert!(!is_valid && said.contains("expected mode 0700"), "{said}");

    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
    let cases = [
        (
            "a.example.test.pem",
            made.cert.pem(),
            0o600,
            "a private key",
        ),
        ("a.example.test.pem", String::new(), 0o644, "mode 0600"),
        (
            "account.json",
            "{}".to_owned(),
            0o600,
            "an account of https://acme",
        ),
    ];
    for (name, contents, mode, expected) in cases {
        let path = folder.join(name);
        fs::write(&path, &contents)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        for args in [&domain[..], &checked] {
            let (is_valid, said) = run("state", args).await;
            assert!(
                !is_valid && said.contains(expected) && said.contains(name),
                "{said}"
            );
            assert!(!said.contains("PRIVATE KEY"), "{said}");
        }
        assert_eq!(fs::read_to_string(&path)?, contents, "it is left alone");
        fs::remove_file(&path)?;
    }
    Ok(())
}

#[tokio::test]
async fn options_that_disagree_are_explained() {
    let cases: [(&[&str], &str); 8] = [
        (
            &["--acme-domain", "a.test"],
            "--acme-domain requires --acme-directory and --acme-state",
        ),
        (
            &["--acme-state", "/tmp/x"],
            "--acme-directory and --acme-state require each other",
        ),
        (
            &["--acme-contact", "a@a.test"],
            "--acme-contact requires --acme-directory",
        ),
        (
            &["--acme-root", "/tmp/x"],
            "--acme-root requires --acme-directory",
        ),
        (
            &[
                "--acme-directory",
                "https://a.test",
                "--acme-state",
                "/tmp/x",
            ],
            "--acme-directory requires --acme-domain",
        ),
        (
            &[
                "--acme-domain",
                "a.test",
                "--tls-cert",
                "/x",
                "--tls-key",
                "/y",
            ],
            "--acme-domain and --tls-cert exclude each other",
        ),
        (
            &[
                "--acme-domain",
                "a.test",
                "--acme-directory",
                "http://a.test",
                "--acme-state",
                "/x",
            ],
            "invalid ACME directory \"http://a.test\": expected a URL that begins with https://",
        ),
        (
            &[
                "--acme-domain",
                "192.0.2.1",
                "--acme-directory",
                "https://a.test",
                "--acme-state",
                "/x",
            ],
            "invalid domain \"192.0.2.1\"",
        ),
    ];
    for (args, expected) in cases {
        let mut command = super::command("127.0.0.1:1", args);
        let output = in_time(command.arg("--check").output()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.contains(expected),
            "{args:?}: {said}"
        );
    }
}
