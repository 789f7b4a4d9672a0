//! What this machine lacks is no fault of an upstream.

use super::places::{at, in_time, listener};
use crate::{skipped::skipped, support::LONG};
use reagent_layers::{
    connect::{Connect, Target},
    upstream::{Key, Upstream, UpstreamState, Upstreams},
};
use std::{env, fs::File, process::Command};
use tokio::net::TcpListener;
use tower::ServiceExt;

/// Connects again and again, and returns the last error.
async fn fail(connector: Connect, port: u16) -> String {
    let target = Target::Addr(at(1, port));
    // The last one is never ejected.
    let names = ["one", "two"].map(|name| Upstream::new(name, target.clone()));
    let set = Upstreams::builder().retries(0).build(names);
    let mut last = String::new();
    for _ in 0..10 {
        let connect = |target: Target| connector.clone().oneshot(target);
        let error = in_time(set.connect(Key::none(), connect))
            .await
            .unwrap_err();
        assert_eq!(error.attempts().len(), 1);
        last = error.to_string();
        let name = &error.attempts()[0].upstream;
        let begin = format!("no upstream could be reached: {name}: cannot connect to 127.0.0.1:");
        assert!(last.starts_with(&begin), "{last}");
        for stats in set.stats() {
            assert_eq!(stats.state, UpstreamState::Up, "{last}");
        }
    }
    last
}

#[tokio::test]
async fn a_source_address_that_is_not_here_is_no_fault_of_the_upstream() {
    let (_listener, port) = listener().await;
    let error = fail(Connect::new().source([192, 0, 2, 1].into()), port).await;
    assert!(error.contains("cannot bind to 192.0.2.1: "), "{error}");
}

/// It takes all descriptors of its process, so it runs in one of its own.
#[tokio::test]
async fn a_machine_without_descriptors_is_no_fault_of_the_upstream() {
    const CHILD: &str = "REAGENT_TEST_WITHOUT_DESCRIPTORS";
    if env::var_os(CHILD).is_none() {
        let (_, name) = module_path!().split_once("::").unwrap();
        let name = format!("{name}::a_machine_without_descriptors_is_no_fault_of_the_upstream");
        let ended = Command::new("sh")
            .args(["-c", "ulimit -n 100; exec \"$0\" --exact \"$1\""])
            .arg(env::current_exe().unwrap())
            .arg(name)
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(
            ended.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    let (_listener, port) = listener().await;
    let connector = Connect::new().timeout(LONG);
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    let error = fail(connector, port).await;
    assert!(error.contains("os error 24"), "{error}");
}

/// It takes all ports of a network namespace, so it runs in one of its own.
#[tokio::test]
async fn a_source_address_without_ports_is_no_fault_of_the_upstream() {
    const CHILD: &str = "REAGENT_TEST_WITHOUT_PORTS";
    if env::var_os(CHILD).is_none() {
        let (_, name) = module_path!().split_once("::").unwrap();
        let name = format!("{name}::a_source_address_without_ports_is_no_fault_of_the_upstream");
        let isolated = |script: &str| {
            let mut command = Command::new("unshare");
            let setup = "ip link set lo up && echo 40000 40003 > \
                         /proc/sys/net/ipv4/ip_local_port_range";
            command.args(["--net", "sh", "-c", &format!("{setup} && {script}")]);
            command.arg(env::current_exe().unwrap()).arg(&name);
            command.env(CHILD, "1");
            command
        };
        let possible = isolated("true").output();
        if !possible.is_ok_and(|output| output.status.success()) {
            skipped("no network namespace can be made");
            return;
        }
        let ended = isolated("exec \"$0\" --exact \"$1\"").output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(
            ended.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    let listener = TcpListener::bind(at(1, 20_000)).await.unwrap();
    let connector = Connect::new().source([127, 0, 0, 1].into());
    let mut open = Vec::new();
    for _ in 0..4 {
        let connected = connector.clone().oneshot(Target::Addr(at(1, 20_000)));
        open.push((in_time(connected).await.unwrap(), listener.accept().await));
    }
    let error = fail(connector, 20_000).await;
    assert!(error.contains("cannot bind to 127.0.0.1: "), "{error}");
}
