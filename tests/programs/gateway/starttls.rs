//! `--starttls postgres`, with a PostgreSQL server, `psql` and `openssl s_client`.

use super::{gateway, in_time, tls::s_client};
use crate::{program::Example, skipped::skipped};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use reagent::{Connection, Server, handle};
use std::{
    fs,
    os::unix::fs::chown,
    path::PathBuf,
    process::{Output, Stdio},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    sync::mpsc::unbounded_channel,
};

const SSL_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const STARTUP: &[u8] = b"\0\0\0\x10\0\x03\0\0user\0me\0\0";

/// A certificate for `localhost` and `127.0.0.1`, and the authority that has issued it.
pub struct Pki(tempfile::TempDir);

impl Pki {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = "authority";
        params.distinguished_name.push(DnType::CommonName, name);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params =
            CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let pki = Pki(tempfile::tempdir().unwrap());
        fs::write(pki.path("ca.pem"), authority.pem()).unwrap();
        fs::write(pki.path("cert.pem"), certificate.pem()).unwrap();
        fs::write(pki.path("key.pem"), key.serialize_pem()).unwrap();
        pki
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Starts a gateway with `--starttls postgres` and these options.
    async fn gateway(&self, to: &str, args: &[&str]) -> Example {
        self.gateway_for("postgres", to, args).await
    }

    pub async fn gateway_for(&self, protocol: &str, to: &str, args: &[&str]) -> Example {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        let tls = ["--tls-cert", &cert, "--tls-key", &key];
        gateway(to, &[&tls[..], &["--starttls", protocol], args].concat()).await
    }
}

/// A PostgreSQL server without TLS, on a Unix socket.
struct Postgres {
    dir: tempfile::TempDir,
    _process: Child,
}

impl Postgres {
    /// Starts a server, or prints a message and returns `None` if it is not installed.
    async fn start() -> Option<Self> {
        let Some(bin) = binaries() else {
            skipped("PostgreSQL is not installed (package postgresql)");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let user = unprivileged();
        if let Some((user, group)) = user {
            chown(dir.path(), Some(user), Some(group)).unwrap();
        }
        let command = |name: &str| {
            let mut command = Command::new(bin.join(name));
            if let Some((user, group)) = user {
                command.uid(user).gid(group);
            }
            command.current_dir(dir.path()).kill_on_drop(true);
            command
        };
        let data = dir.path().join("data");
        let mut initdb = command("initdb");
        let options = ["--auth=trust", "--no-sync", "--username=me", "--pgdata"];
        let made = initdb.args(options).arg(&data).output();
        let made = in_time(made).await.unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut postgres = command("postgres");
        postgres.arg("-D").arg(&data).arg("-k").arg(dir.path());
        postgres.args(["-c", "listen_addresses=", "-c", "fsync=off"]);
        let process = postgres.stderr(Stdio::null()).spawn().unwrap();
        let is_ready = async {
            loop {
                let mut pg_isready = command("pg_isready");
                pg_isready.arg("-q").arg("-h").arg(dir.path());
                if pg_isready.status().await.unwrap().success() {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        in_time(is_ready).await;
        Some(Postgres {
            dir,
            _process: process,
        })
    }

    fn socket(&self) -> String {
        let path = self.dir.path().join(".s.PGSQL.5432");
        path.to_str().unwrap().to_owned()
    }
}

/// Returns the folder of the newest version that Debian has installed.
fn binaries() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.map(|version| version.unwrap().path().join("bin"));
    folders.filter(|bin| bin.join("initdb").exists()).max()
}

/// Returns an account for a server that refuses to run as root.
fn unprivileged() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    const NOBODY: u32 = 65534;
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    is_root.then_some((NOBODY, NOBODY))
}

/// Runs `psql` with this connection string and command.
async fn psql(gateway: &Example, options: &str, command: &str) -> Output {
    let port = gateway.addr.rsplit_once(':').unwrap().1;
    let to = format!("host=localhost hostaddr=127.0.0.1 port={port} user=me dbname=postgres");
    let mut psql = Command::new("psql");
    psql.args(["-X", "-At", "-d", &format!("{to} {options}"), "-c", command]);
    psql.env_clear().env("PATH", "/usr/bin:/bin");
    in_time(psql.kill_on_drop(true).output()).await.unwrap()
}

fn said(output: &[u8]) -> &str {
    std::str::from_utf8(output).unwrap().trim()
}

#[tokio::test]
async fn psql_is_encrypted_up_to_the_gateway_and_refused_in_plaintext() {
    let Some(postgres) = Postgres::start().await else {
        return;
    };
    let pki = Pki::new();
    let gateway = pki.gateway(&postgres.socket(), &[]).await;
    let verify = format!("sslmode=verify-full sslrootcert={}", pki.path("ca.pem"));
    for options in [
        "sslmode=require",
        "sslmode=prefer",
        "sslmode=allow",
        &verify,
    ] {
        let output = psql(&gateway, options, "SELECT 6 * 7").await;
        assert_eq!(said(&output.stdout), "42", "{output:?}");
        let output = psql(&gateway, options, "\\conninfo").await;
        let about = said(&output.stdout);
        assert!(about.contains("TLSv1.3"), "{about}");
    }
    let output = psql(&gateway, "sslmode=disable", "SELECT 1").await;
    let error = said(&output.stderr);
    assert!(error.contains("FATAL:  the server requires TLS"), "{error}");
    assert!(output.stdout.is_empty());

    // Another authority.
    let other = Pki::new();
    let options = format!("sslmode=verify-full sslrootcert={}", other.path("ca.pem"));
    let output = psql(&gateway, &options, "SELECT 1").await;
    let error = said(&output.stderr);
    assert!(error.contains("SSL error"), "{error}");
    assert!(output.stdout.is_empty());
    gateway.stop("TERM").await;
}

#[tokio::test]
async fn psql_is_served_in_plaintext_where_that_is_allowed() {
    let Some(postgres) = Postgres::start().await else {
        return;
    };
    let pki = Pki::new();
    let args = ["--starttls-plaintext", "pass"];
    let gateway = pki.gateway(&postgres.socket(), &args).await;
    for options in ["sslmode=disable", "sslmode=require"] {
        let output = psql(&gateway, options, "SELECT 6 * 7").await;
        assert_eq!(said(&output.stdout), "42", "{output:?}");
    }
}

/// On an interrupt, `psql` sends a cancel request, before version 17 without TLS.
#[tokio::test]
async fn psql_cancels_a_query_through_the_gateway() {
    let Some(postgres) = Postgres::start().await else {
        return;
    };
    let pki = Pki::new();
    let gateway = pki.gateway(&postgres.socket(), &[]).await;
    let port = gateway.addr.rsplit_once(':').unwrap().1;
    let to = format!("host=127.0.0.1 port={port} user=me dbname=postgres sslmode=require");
    let mut psql = Command::new("psql");
    psql.args(["-X", "-At", "-d", &to, "-c", "SELECT pg_sleep(3600)"]);
    psql.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut psql = psql.kill_on_drop(true).spawn().unwrap();
    let is_sleeping = async {
        loop {
            let query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
            let output = self::psql(&gateway, "sslmode=require", query).await;
            if said(&output.stdout) == "1" {
                return;
            }
        }
    };
    in_time(is_sleeping).await;
    let pid = psql.id().unwrap().to_string();
    let interrupt = Command::new("kill").args(["-s", "INT", &pid]).status();
    assert!(interrupt.await.unwrap().success());
    let mut stderr = String::new();
    let reading = psql.stderr.as_mut().unwrap().read_to_string(&mut stderr);
    in_time(reading).await.unwrap();
    assert!(stderr.contains("canceling statement"), "{stderr}");
}

/// Starts an upstream that reports what it receives from each client.
async fn silent() -> (
    reagent::ServerHandle,
    tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>,
) {
    let (sender, receiver) = unbounded_channel();
    let receive = move |mut conn: Connection| {
        let sender = sender.clone();
        async move {
            let mut bytes = Vec::new();
            conn.read_to_end(&mut bytes).await?;
            let _ = sender.send(bytes);
            conn.write_all(b"received").await?;
            conn.shutdown().await
        }
    };
    let server = Server::bind("127.0.0.1:0").start(handle(receive));
    (server.await.unwrap(), receiver)
}

async fn sent(addr: &str, bytes: &[u8]) -> Vec<u8> {
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(bytes).await.unwrap();
    let _ = client.shutdown().await;
    let mut response = Vec::new();
    // The gateway may reset a client that has sent more than it reads.
    let _ = in_time(client.read_to_end(&mut response)).await;
    response
}

#[tokio::test]
async fn only_a_cancel_request_reaches_the_upstream_in_plaintext() {
    let (upstream, mut received) = silent().await;
    let pki = Pki::new();
    let to = upstream.local_addr().to_string();
    let gateway = pki.gateway(&to, &[]).await;
    for injected in [STARTUP, b"Q\0\0\0\x0dSELECT 1\0"] {
        let response = sent(&gateway.addr, &[SSL_REQUEST, injected].concat()).await;
        assert!(!response.ends_with(b"received"));
    }
    let response = sent(&gateway.addr, STARTUP).await;
    assert!(response.starts_with(b"E"), "{}", response.escape_ascii());
    assert_eq!(upstream.stats().accepted, 0);

    let cancel = b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02";
    assert_eq!(sent(&gateway.addr, cancel).await, b"received");
    assert_eq!(in_time(received.recv()).await.unwrap(), cancel);
}

#[tokio::test]
async fn openssl_begins_with_tls_and_the_protocol_or_is_refused() {
    let upstream = super::named_upstream("database").await;
    let pki = Pki::new();
    let to = upstream.local_addr().to_string();
    let gateway = pki.gateway(&to, &[]).await;
    let ca = pki.path("ca.pem");
    let verify = [
        "-CAfile",
        &ca,
        "-verify_return_error",
        "-servername",
        "localhost",
    ];
    let args = [&verify[..], &["-alpn", "postgresql"]].concat();
    let Some(said) = s_client(&gateway.addr, &args, "hello\n").await else {
        return;
    };
    assert!(said.contains("ALPN protocol: postgresql"), "{said}");
    assert!(said.contains("database hello"), "{said}");

    // As libpq asks for it.
    let args = [&verify[..], &["-starttls", "postgres"]].concat();
    let said = s_client(&gateway.addr, &args, "hello\n").await.unwrap();
    assert!(said.contains("database hello"), "{said}");

    for args in [&[][..], &["-alpn", "h2"]] {
        let args = [&verify[..], args].concat();
        let said = s_client(&gateway.addr, &args, "hello\n").await.unwrap();
        assert!(!said.contains("database"), "{said}");
    }
}

#[tokio::test]
async fn options_that_miss_a_certificate_are_reported() {
    let cases: [(&[&str], &str); 3] = [
        (
            &["--starttls", "postgres"],
            "--starttls requires --to and --tls-cert",
        ),
        (
            &["--starttls-plaintext", "pass"],
            "--starttls-plaintext requires --starttls",
        ),
        (
            &["--starttls", "mysql"],
            "[possible values: ldap, postgres]",
        ),
    ];
    for (args, expected) in cases {
        let output = super::command("127.0.0.1:1", args).output();
        let output = in_time(output).await.unwrap();
        let said = said(&output.stderr);
        assert!(!output.status.success(), "{args:?}");
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}
