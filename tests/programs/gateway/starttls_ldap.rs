//! `--starttls ldap`, with slapd, the clients of OpenLDAP, and `openssl s_client`.

use super::{in_time, starttls::Pki, tls::s_client};
use crate::{program::Example, skipped::skipped};
use std::{
    fs, io,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};
use tokio::{
    net::UnixStream,
    process::{Child, Command},
};

const SCHEMA: &str = "/etc/ldap/schema/core.schema";
const ADMIN: &str = "cn=admin,dc=example,dc=org";

/// A directory server without TLS, on a Unix socket.
struct Slapd {
    dir: tempfile::TempDir,
    _process: Child,
}

impl Slapd {
    /// Starts a server, or prints a message and returns `None` if that is not possible here.
    async fn start() -> Option<Self> {
        if !Path::new(SCHEMA).exists() || !Path::new("/usr/bin/ldapwhoami").exists() {
            skipped("OpenLDAP is not installed (packages slapd and ldap-utils)");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let (config, socket) = (dir.path().join("slapd.conf"), dir.path().join("ldapi"));
        let data = dir.path().display();
        let text = format!(
            "include {SCHEMA}\n\
             pidfile {data}/pid\n\
             database ldif\n\
             suffix dc=example,dc=org\n\
             rootdn {ADMIN}\n\
             rootpw secret\n\
             directory {data}\n"
        );
        fs::write(&config, text).unwrap();
        let url = format!("ldapi://{}", socket.to_str().unwrap().replace('/', "%2F"));
        let process = Command::new("/usr/sbin/slapd")
            // In the foreground.
            .args(["-d", "0", "-h", &url, "-f"])
            .arg(&config)
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut process = match process {
            Ok(process) => process,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                skipped("slapd is not installed");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let is_ready = async {
            while UnixStream::connect(&socket).await.is_err() {
                // It may be confined to folders of its own.
                if process.try_wait().unwrap().is_some() {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            true
        };
        if !in_time(is_ready).await {
            skipped("slapd does not start with a configuration of the test");
            return None;
        }
        Some(Slapd {
            dir,
            _process: process,
        })
    }

    fn socket(&self) -> String {
        let path = self.dir.path().join("ldapi");
        path.to_str().unwrap().to_owned()
    }
}

/// Runs a client of OpenLDAP, which authenticates with a password.
async fn client(program: &str, gateway: &Example, ca: &str, args: &[&str]) -> Output {
    let port = gateway.addr.rsplit_once(':').unwrap().1;
    // The library takes `localhost` for the name of the machine.
    let url = format!("ldap://127.0.0.1:{port}");
    let mut client = Command::new(program);
    client.args(["-H", &url, "-x", "-D", ADMIN, "-w", "secret"]);
    client.args(args).env_clear().env("PATH", "/usr/bin:/bin");
    client
        .env("LDAPTLS_CACERT", ca)
        .env("LDAPTLS_REQCERT", "demand");
    in_time(client.kill_on_drop(true).output()).await.unwrap()
}

fn said(output: &[u8]) -> String {
    String::from_utf8_lossy(output).trim().to_owned()
}

#[tokio::test]
async fn ldap_clients_are_encrypted_up_to_the_gateway_and_refused_in_plaintext() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let pki = Pki::new();
    let ca = pki.path("ca.pem");
    let gateway = pki.gateway_for("ldap", &slapd.socket(), &[]).await;
    let output = client("ldapwhoami", &gateway, &ca, &["-ZZ"]).await;
    assert_eq!(said(&output.stdout), format!("dn:{ADMIN}"), "{output:?}");
    let search = ["-ZZ", "-LLL", "-s", "base", "-b", "", "namingContexts"];
    let output = client("ldapsearch", &gateway, &ca, &search).await;
    let found = "namingContexts: dc=example,dc=org";
    assert!(said(&output.stdout).contains(found), "{output:?}");

    let output = client("ldapwhoami", &gateway, &ca, &[]).await;
    let error = said(&output.stderr);
    assert!(error.contains("Confidentiality required (13)"), "{error}");
    assert!(error.contains("TLS is required (StartTLS)"), "{error}");
    assert!(output.stdout.is_empty());

    // Another authority.
    let other = Pki::new();
    let output = client("ldapwhoami", &gateway, &other.path("ca.pem"), &["-ZZ"]).await;
    let error = said(&output.stderr);
    assert!(error.contains("Connect error"), "{error}");
    assert!(output.stdout.is_empty());
    gateway.stop("TERM").await;
}

#[tokio::test]
async fn ldap_clients_are_served_in_plaintext_where_that_is_allowed() {
    let Some(slapd) = Slapd::start().await else {
        return;
    };
    let pki = Pki::new();
    let args = ["--starttls-plaintext", "pass"];
    let gateway = pki.gateway_for("ldap", &slapd.socket(), &args).await;
    for args in [&["-ZZ"][..], &[]] {
        let output = client("ldapwhoami", &gateway, &pki.path("ca.pem"), args).await;
        assert_eq!(said(&output.stdout), format!("dn:{ADMIN}"), "{output:?}");
    }
}

#[tokio::test]
async fn openssl_asks_for_tls_in_ldap_and_is_refused_without_asking() {
    let upstream = super::named_upstream("directory").await;
    let pki = Pki::new();
    let to = upstream.local_addr().to_string();
    let gateway = pki.gateway_for("ldap", &to, &[]).await;
    let ca = pki.path("ca.pem");
    let verify = [
        "-CAfile",
        &ca,
        "-verify_return_error",
        "-servername",
        "localhost",
    ];
    let args = [&verify[..], &["-starttls", "ldap"]].concat();
    let Some(said) = s_client(&gateway.addr, &args, "hello\n").await else {
        return;
    };
    assert!(said.contains("TLSv1.3"), "{said}");
    assert!(said.contains("directory hello"), "{said}");
    let said = s_client(&gateway.addr, &verify, "hello\n").await.unwrap();
    assert!(!said.contains("directory"), "{said}");
}
