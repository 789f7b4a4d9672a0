//! Clients that are refused by their JA4 fingerprint.

use super::{
    Events,
    abuse::{hello, run},
    config::Files,
};
use crate::program::{Example, binary};
use reagent::{BoxError, Server, handle};
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

/// A fingerprint that no client has.
const NONE: &str = "t00d0000zz_000000000000_000000000000";

/// Starts a gateway that logs every connection.
async fn started(files: &Files) -> (Example, Events) {
    let mut command = Command::new(binary("gateway"));
    command.args(["--config", &files.path("gateway.toml"), "--threads", "1"]);
    let command = command.env("RUST_LOG", "debug").stderr(Stdio::piped());
    let mut gateway = Example::start_with("gateway", command).await;
    let stderr = gateway.process.stderr.take().unwrap();
    (gateway, Events(BufReader::new(stderr).lines()))
}

/// Returns the fingerprint in the next line of the log that has one.
async fn logged(events: &mut Events) -> String {
    const FIELD: &str = "tls.client.ja4=";
    let line = events.with(FIELD).await;
    let rest = line.split(FIELD).nth(1).unwrap().trim_start_matches('"');
    rest[..NONE.len()].to_owned()
}

#[tokio::test]
async fn openssl_is_refused_by_its_fingerprint_and_curl_is_served() -> Result<(), BoxError> {
    let upstream = Server::bind("127.0.0.1:0").start(handle(hello)).await?;
    let config = |rules: &str| {
        let to = upstream.local_addr();
        format!(
            "[[listener]]\nlabel = 'web'\nlisten = '127.0.0.1:0'\nto = '{to}'\n\
             tls-cert = 'cert.pem'\ntls-key = 'key.pem'\n{rules}\n"
        )
    };
    let files = Files::new(&config(&format!("deny-ja4 = '{NONE}'")));
    files.certify("localhost");
    let (gateway, mut events) = started(&files).await;
    let url = format!("https://{}/", gateway.addr);
    let fetch = ["--insecure", "--silent", &url];
    let shake = ["s_client", "-connect", &gateway.addr];
    let Some((true, _)) = run("openssl", &shake).await else {
        return Ok(());
    };
    let openssl = logged(&mut events).await;
    let Some((_, answer)) = run("curl", &fetch).await else {
        return Ok(());
    };
    assert_eq!(answer, "hello");
    while logged(&mut events).await == openssl {}

    let mut reload = async |rules: &str| {
        files.write("gateway.toml", &config(rules));
        gateway.signal("HUP").await;
        let done = "configuration and certificates reloaded";
        events.with(done).await;
    };
    reload(&format!("deny-ja4 = ['{NONE}', '{openssl}']")).await;
    let (succeeded, said) = run("openssl", &shake).await.unwrap();
    assert!(!succeeded && said.contains("no peer certificate"), "{said}");
    assert_eq!(run("curl", &fetch).await.unwrap().1, "hello");

    reload(&format!("deny-ja4 = '{openssl}'\ndry-run = 'deny-ja4'")).await;
    assert!(run("openssl", &shake).await.unwrap().0);
    reload("").await;
    assert!(run("openssl", &shake).await.unwrap().0);
    Ok(())
}

#[tokio::test]
async fn denied_fingerprints_are_checked() -> Result<(), BoxError> {
    let check = async |args: &[&str]| {
        let mut command = Command::new(binary("gateway"));
        let common = ["--check", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1"];
        let output = command.args(common).args(args).output().await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok::<_, BoxError>(text(&output.stdout) + &text(&output.stderr))
    };
    let other = NONE.replace("zz", "h2");
    let two = ["--deny-ja4", NONE, "--deny-ja4", &other];
    let report = check(&[&two[..], &["--dry-run", "deny-ja4"]].concat()).await?;
    let line = format!("  access: deny JA4 {NONE}, {other} (dry run)\n  timeouts: ");
    assert!(report.contains(&line), "{report}");
    let report = check(&["--deny-ja4", "t13d"]).await?;
    assert!(
        report.contains("invalid JA4 fingerprint \"t13d\""),
        "{report}"
    );
    let files = Files::new("");
    files.certify("localhost");
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    let tls = ["--tls-cert", &cert, "--tls-key", &key];
    let starttls = [&two[..], &tls, &["--starttls", "postgres"]].concat();
    let report = check(&starttls).await?;
    assert!(
        report.contains("--deny-ja4 has no use with --starttls"),
        "{report}"
    );
    Ok(())
}
