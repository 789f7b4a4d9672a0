//! Checks with `testssl.sh`, which knows most past vulnerabilities of TLS servers.

use super::pki::{Ca, Dir};
use crate::support::echo;
use reagent::Server;
use reagent_layers::tls::TlsLayer;
use std::{collections::BTreeSet, fs, io, process::Stdio, time::Duration};
use tokio::{process::Command, time::timeout};

/// The findings up to then are checked.
const AT_MOST: Duration = Duration::from_secs(60);

/// Findings that are due to the test certificate: its authority is unknown, it is valid for
/// centuries, and it names no way to check for revocation.
const OF_THE_TEST: [&str; 3] = [
    "cert_chain_of_trust",
    "cert_validityPeriod",
    "cert_revocation",
];

/// Runs the checks against a server. Their findings must include `expected`, and no problems.
async fn find(checks: &[&str], expected: &[&str]) {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (cert, key) = ca.server(&["localhost"]).write(&dir, "localhost");
    let layer = TlsLayer::from_pem_files(cert, key).unwrap();
    let server = Server::bind("127.0.0.1:0").layer(layer);
    let server = server.start(reagent::handle(echo)).await.unwrap();
    let found = dir.path("found.csv");
    let port = server.local_addr().port().unwrap();
    let child = Command::new("testssl")
        .args(checks)
        .args(["--quiet", "--color", "0", "--warnings", "off", "--fast"])
        .args(["--nodns", "none", "--ip", "127.0.0.1"])
        .args(["--openssl-timeout", "5"])
        .arg("--csvfile")
        .arg(&found)
        .arg(format!("localhost:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            crate::skipped::skipped("testssl is not installed");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let is_done = timeout(AT_MOST, child.wait()).await.is_ok();
    let found = fs::read_to_string(found).unwrap();
    // id, address, port, severity, finding, …
    let findings: Vec<Vec<&str>> = found
        .lines()
        .skip(1)
        .map(|line| line.trim_matches('"').split("\",\"").collect())
        // A warning means that a check was not possible.
        .filter(|finding: &Vec<_>| finding.len() > 4 && finding[3] != "WARN")
        .collect();
    let ids: BTreeSet<_> = findings
        .iter()
        .map(|finding| finding[0].split(' ').next().unwrap())
        .collect();
    let missing: Vec<_> = expected.iter().filter(|id| !ids.contains(*id)).collect();
    match is_done {
        true => assert!(missing.is_empty(), "not checked: {missing:?}"),
        false => {
            println!("not checked within {AT_MOST:?}: {missing:?}");
            assert!(missing.len() < expected.len(), "nothing was checked");
        }
    }
    let bad: Vec<_> = findings
        .iter()
        .filter(|finding| {
            let id = finding[0].split(' ').next().unwrap();
            !matches!(finding[3], "OK" | "INFO" | "DEBUG") && !OF_THE_TEST.contains(&id)
        })
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[tokio::test]
async fn testssl_finds_nothing_wrong_with_protocols_defaults_and_fallback() {
    let checks = ["--protocols", "--server-defaults", "--tls-fallback"];
    let expected = ["SSLv2", "TLS1", "TLS1_2", "TLS1_3", "fallback_SCSV"];
    find(&checks, &expected).await;
}

/// Without the checks for HTTP, and without RC4, which needs an openssl that still supports it.
#[tokio::test]
async fn testssl_finds_no_vulnerability() {
    let checks = [
        "--heartbleed",
        "--ccs-injection",
        "--robot",
        "--renegotiation",
        "--crime",
        "--poodle",
        "--sweet32",
        "--freak",
        "--drown",
        "--logjam",
        "--beast",
        "--lucky13",
    ];
    let expected = [
        "heartbleed",
        "CCS",
        "ROBOT",
        "secure_renego",
        "secure_client_renego",
        "CRIME_TLS",
        "POODLE_SSL",
        "SWEET32",
        "FREAK",
        "DROWN",
        "LOGJAM",
        "BEAST",
        "LUCKY13",
    ];
    find(&checks, &expected).await;
}
