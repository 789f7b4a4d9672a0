//! What `testssl.sh`, which knows most faults that TLS servers have had, finds with ours.

use super::pki::{Ca, Dir};
use crate::support::echo;
use reagent::Server;
use reagent_layers::tls::TlsLayer;
use std::{fs, io, process::Stdio, time::Duration};
use tokio::{process::Command, time::timeout};

/// Findings about the certificate of the test, whose authority nobody knows, and about revocation, which is
/// the authority's.
const OF_THE_TEST: [&str; 12] = [
    "cert_chain_of_trust",
    "cert_trust",
    "cert_expirationStatus",
    "cert_extlifeSpan",
    "cert_notAfter",
    "cert_crlDistributionPoints",
    "cert_ocspURL",
    "cert_revocation",
    "DNS_CAArecord",
    "OCSP_stapling",
    "cert_caIssuers",
    "cert_validityPeriod",
];

#[tokio::test]
async fn testssl_finds_nothing_wrong_with_protocols_defaults_and_fallback() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (cert, key) = ca.server(&["localhost"]).write(&dir, "localhost");
    let layer = TlsLayer::from_pem_files(cert, key).unwrap();
    let server = Server::bind("127.0.0.1:0").layer(layer);
    let server = server.start(reagent::handle(echo)).await.unwrap();
    let found = dir.path("found.csv");
    let port = server.local_addr().port().unwrap();
    let child = Command::new("testssl")
        .args(["--protocols", "--server-defaults", "--tls-fallback"])
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
            println!("skipped: there is no testssl");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    if timeout(Duration::from_secs(60), child.wait())
        .await
        .is_err()
    {
        println!("skipped: testssl takes too long here");
        return;
    }
    let found = fs::read_to_string(found).unwrap();
    // id, address, port, severity, finding, …
    let findings: Vec<Vec<&str>> = found
        .lines()
        .skip(1)
        .map(|line| line.trim_matches('"').split("\",\"").collect())
        .collect();
    assert!(
        findings.iter().any(|finding| finding[0] == "TLS1_3"),
        "{found}"
    );
    let bad: Vec<_> = findings
        .iter()
        .filter(|finding| {
            let id = finding[0].split(' ').next().unwrap();
            !matches!(finding[3], "OK" | "INFO" | "DEBUG") && !OF_THE_TEST.contains(&id)
        })
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}
