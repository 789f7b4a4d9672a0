//! The same with independent clients.

use crate::{skipped::skipped, support::until};
use axum::{Router, routing::get};
use reagent::{Server, ServerHandle};
use reagent_layers::{
    access::{Access, AccessLayer, Bans, Rules},
    http::HttpLayer,
    score::{Offence, Score},
};
use std::{io, net::IpAddr, process::Stdio, time::Duration};
use tokio::process::Command;

/// Runs a client to its end, and returns whether it succeeded, with its output. `None` means that
/// it is not installed.
async fn run(program: &str, args: &[&str]) -> Option<(bool, String)> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(crate::support::LONG, command.output());
    match output.await.expect("the client ends") {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            Some((output.status.success(), text))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            skipped(format_args!("{program} is not installed"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Attempts a handshake without a common cipher suite.
async fn attack(server: &ServerHandle) -> Option<bool> {
    let addr = server.local_addr().to_string();
    let cipher = ["-tls1_2", "-cipher", "AES128-SHA", "-bind", "127.0.0.2:0"];
    let args = [&["s_client", "-connect", &addr], &cipher[..]].concat();
    Some(run("openssl", &args).await?.0)
}

async fn fetch(server: &ServerHandle) -> Option<String> {
    let url = format!("https://{}/", server.local_addr());
    let from = ["--noproxy", "*", "--interface", "127.0.0.3"];
    let args = [
        &["-q", "--insecure", "--silent", "--show-error", &url],
        &from[..],
    ]
    .concat();
    Some(run("curl", &args).await?.1)
}

#[tokio::test]
async fn openssl_is_banned_for_a_flood_of_bad_handshakes_and_curl_goes_on_beside_it() {
    let bans = Bans::new();
    let score = Score::new(bans.clone()).points(4.5, Duration::from_secs(3600));
    let access = Access::new(Rules::new()).with_bans(bans.clone());
    let server = Server::bind("127.0.0.1:0")
        .observe(score.clone())
        .layer(AccessLayer::new(access))
        .layer(super::offences::tls())
        .layer(HttpLayer::new())
        .start(Router::new().route("/", get(async || "hello")));
    let server = server.await.unwrap();
    let attacker: IpAddr = [127, 0, 0, 2].into();
    for count in 1..=5 {
        assert!(!bans.is_banned(attacker));
        let (Some(succeeded), Some(answer)) = tokio::join!(attack(&server), fetch(&server)) else {
            return;
        };
        assert!(!succeeded && answer == "hello", "{answer}");
        until("scored", || {
            score.stats().offences.get(&Offence::Handshake) == Some(&count)
        })
        .await;
    }
    assert!(bans.is_banned(attacker));
    // From now on, the attackers cost no handshake.
    let flood = async { tokio::join!(attack(&server), attack(&server), attack(&server)) };
    let (_, answer) = tokio::join!(flood, fetch(&server));
    assert_eq!(answer.unwrap(), "hello");
    until("refused", || server.stats().rejected == 3).await;
    assert_eq!(score.stats().offences[&Offence::Handshake], 5);
    assert_eq!(score.stats().clients, 1);
}
