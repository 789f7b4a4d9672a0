//! Gateways share a limit through a real `redis-server`.

use super::{
    Events,
    admin::{Page, WRITE},
    command, gateway, gateway_with_events, metric, read_all, say, upstream,
};
use crate::{
    port::Port,
    program::{Example, binary},
    redis_server::RedisServer,
    support::{LONG, soon},
};
use reagent::{BoxError, ServerHandle};
use serde_json::json;
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Command,
    time::{Duration, sleep},
};

const CLIENT: &str = "192.0.2.1";

/// Gateways with a limit of 5, a store and an upstream.
struct Fleet {
    gateways: Vec<Example>,
    redis: RedisServer,
    upstream: ServerHandle,
    args: Vec<String>,
}

impl Fleet {
    /// Starts three gateways, or skips the test if there is no `redis-server`.
    async fn start(args: &[&str]) -> Option<Self> {
        let redis = RedisServer::start(&[]).await?;
        let url = redis.url();
        let common = ["--proxy-in", "required", "--trust", "127.0.0.0/8"];
        // A machine under load may take longer than 20 ms for a round trip.
        let cluster = [
            "--cluster",
            &url,
            "--cluster-per-client",
            "5",
            "--cluster-wait",
            "0.2",
        ];
        let args = [&common[..], &cluster, args].concat();
        let mut fleet = Fleet {
            gateways: Vec::new(),
            redis,
            upstream: upstream().await,
            args: args.iter().map(ToString::to_string).collect(),
        };
        for _ in 0..3 {
            let gateway = fleet.gateway().await;
            fleet.gateways.push(gateway);
        }
        Some(fleet)
    }

    async fn gateway(&self) -> Example {
        let args: Vec<&str> = self.args.iter().map(|arg| &**arg).collect();
        gateway(&self.upstream.local_addr().to_string(), &args).await
    }

    /// Connects `count` times at each gateway, and returns the connections that are admitted.
    async fn connect(&self, count: usize) -> Vec<TcpStream> {
        let mut admitted = Vec::new();
        for _ in 0..count {
            for gateway in &self.gateways {
                admitted.extend(connect(gateway).await);
            }
        }
        admitted
    }

    /// Connects at all gateways until `count` connections are open.
    async fn until_open(&self, open: &mut Vec<TcpStream>, count: usize) {
        soon(async {
            while open.len() < count {
                open.extend(self.connect(1).await);
                sleep(Duration::from_millis(25)).await;
            }
        })
        .await;
        assert_eq!(open.len(), count);
        assert!(self.connect(1).await.is_empty());
    }
}

/// Connects as the client of a PROXY header. A client that is refused receives no bytes.
async fn connect(gateway: &Example) -> Option<TcpStream> {
    let mut stream = gateway.connect().await;
    let header = format!("PROXY TCP4 {CLIENT} 192.0.2.99 4000 443\r\n");
    stream.write_all(header.as_bytes()).await.unwrap();
    if say(&mut stream, "hello").await.is_ok() {
        return Some(stream);
    }
    assert_eq!(read_all(&mut stream).await.unwrap_or_default(), "");
    None
}

#[tokio::test]
async fn a_client_has_one_limit_at_all_gateways() -> Result<(), BoxError> {
    for mode in ["exact", "quota"] {
        let Some(fleet) = Fleet::start(&["--cluster-mode", mode]).await else {
            return Ok(());
        };
        assert_eq!(fleet.connect(3).await.len(), 5, "{mode}");
    }
    Ok(())
}

#[tokio::test]
async fn places_of_a_killed_gateway_return_within_a_lease() -> Result<(), BoxError> {
    let Some(mut fleet) = Fleet::start(&["--cluster-lease", "1"]).await else {
        return Ok(());
    };
    let mut open = Vec::new();
    fleet.until_open(&mut open, 5).await;
    // The killed gateway's connections end with it.
    let mut killed = fleet.gateways.remove(0);
    killed.process.kill().await?;
    let mut others = Vec::new();
    for mut stream in open {
        if say(&mut stream, "still here").await.is_ok() {
            others.push(stream);
        }
    }
    assert!(others.len() < 5);
    fleet.until_open(&mut others, 5).await;
    Ok(())
}

#[tokio::test]
async fn a_drain_gives_places_back_long_before_the_lease_ends() -> Result<(), BoxError> {
    // Longer than the test may take.
    let lease = (LONG * 3).as_secs().to_string();
    let Some(mut fleet) = Fleet::start(&["--cluster-lease", &lease]).await else {
        return Ok(());
    };
    let drained = fleet.gateways.remove(0);
    let mut open = Vec::new();
    while let Some(stream) = connect(&drained).await {
        open.push(stream);
    }
    assert_eq!(open.len(), 5);
    // It keeps the places of connections that have ended, until it renews them.
    drop(open);
    assert!(fleet.connect(2).await.is_empty());
    drained.stop("TERM").await;
    let mut others = Vec::new();
    fleet.until_open(&mut others, 5).await;
    Ok(())
}

#[tokio::test]
async fn a_hand_over_gives_places_back_long_before_the_lease_ends() -> Result<(), BoxError> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("handover").display().to_string();
    let lease = (LONG * 3).as_secs().to_string();
    let args = ["--cluster-lease", &lease, "--handover", &path];
    let Some(redis) = RedisServer::start(&[]).await else {
        return Ok(());
    };
    let upstream = upstream().await;
    let (to, url) = (upstream.local_addr().to_string(), redis.url());
    let cluster = ["--cluster", &url, "--cluster-per-client", "5"];
    let proxy = ["--proxy-in", "required", "--trust", "127.0.0.0/8"];
    let args = [&args[..], &cluster, &proxy].concat();
    let old = gateway(&to, &args).await;
    let mut open = Vec::new();
    while let Some(stream) = connect(&old).await {
        open.push(stream);
    }
    assert_eq!(open.len(), 5);
    drop(open);
    let new = gateway(&to, &[&args[..], &["--listen", &old.addr]].concat()).await;
    old.ended().await;
    let mut open = Vec::new();
    soon(async {
        while open.len() < 5 {
            open.extend(connect(&new).await);
            sleep(Duration::from_millis(25)).await;
        }
    })
    .await;
    assert!(connect(&new).await.is_none());
    Ok(())
}

#[tokio::test]
async fn the_limit_can_be_changed_on_the_admin_page_and_refuses_by_the_tarpit()
-> Result<(), BoxError> {
    let Some(redis) = RedisServer::start(&[]).await else {
        return Ok(());
    };
    let (upstream, url) = (upstream().await, redis.url());
    let cluster = ["--cluster", &url, "--cluster-per-client", "1"];
    let args = ["--cluster-wait", "2", "--tarpit", "9"];
    let pages = ["--metrics", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let to = upstream.local_addr().to_string();
    let mut gateway = gateway(&to, &[&cluster[..], &args, &pages].concat()).await;
    let metrics = Page::of(&mut gateway).await.addr;
    let admin = Page::of(&mut gateway).await.header(WRITE);
    let mut first = gateway.connect().await;
    assert_eq!(say(&mut first, "hello").await?, "<none> hello");
    let _held = gateway.connect().await;
    soon(async {
        while metric(&metrics, "reagent_tarpit_held").await != Some(1.0) {
            sleep(Duration::from_millis(25)).await;
        }
    })
    .await;
    let path = "/limits/cluster-per-client";
    assert_eq!(admin.get(path).await.1["max"], 1);
    assert_eq!(admin.post(path, json!({"max": 2})).await, 200);
    let mut second = gateway.connect().await;
    assert_eq!(say(&mut second, "hello").await?, "<none> hello");
    Ok(())
}

#[tokio::test]
async fn a_fleet_without_its_store_admits_shares() -> Result<(), BoxError> {
    let Some(mut fleet) = Fleet::start(&["--cluster-lease", "1"]).await else {
        return Ok(());
    };
    // Every gateway has heard of the others.
    sleep(Duration::from_secs(2)).await;
    fleet.redis.signal("STOP");
    sleep(Duration::from_secs(2)).await;
    let open = fleet.connect(5).await;
    assert!((3..=5).contains(&open.len()), "{}", open.len());
    drop(open);
    // It returns without its data, and the limit holds again.
    fleet.redis.restart_empty().await;
    sleep(Duration::from_secs(2)).await;
    let mut open = Vec::new();
    fleet.until_open(&mut open, 5).await;
    Ok(())
}

#[tokio::test]
async fn the_policy_decides_while_the_store_was_never_reached() -> Result<(), BoxError> {
    for (lost, admitted) in [("open", 4), ("closed", 0), ("share", 1)] {
        let upstream = upstream().await;
        let to = upstream.local_addr().to_string();
        let args = [
            "--cluster",
            "redis://user:s3cret@127.0.0.1:1/0",
            "--cluster-per-client",
            "4",
        ];
        let proxy = [
            "--proxy-in",
            "required",
            "--trust",
            "127.0.0.0/8",
            "--cluster-lost",
            lost,
        ];
        let (gateway, mut events) = gateway_with_events(&to, &[&args[..], &proxy].concat()).await;
        let event = events
            .with("the store of the cluster cannot be reached")
            .await;
        assert!(!event.contains("s3cret"), "{event}");
        let mut open = Vec::new();
        for _ in 0..4 {
            open.extend(connect(&gateway).await);
        }
        assert_eq!(open.len(), admitted, "{lost}");
    }
    Ok(())
}

#[tokio::test]
async fn a_store_with_tls_and_a_password_is_used() -> Result<(), BoxError> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    std::fs::write(path("cert.pem"), certified.cert.pem())?;
    std::fs::write(path("key.pem"), certified.signing_key.serialize_pem())?;
    let port = Port::new();
    let tls_port = port.number().to_string();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let tls = [
        "--tls-port",
        &tls_port,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
    ];
    let options = ["--tls-auth-clients", "no", "--requirepass", "s3cret"];
    let Some(_redis) = RedisServer::start(&[&tls[..], &options].concat()).await else {
        return Ok(());
    };
    let upstream = upstream().await;
    let to = upstream.local_addr().to_string();
    let url = format!("rediss://:s3cret@localhost:{tls_port}/0");
    let cluster = ["--cluster", &url, "--cluster-per-client", "1"];
    // Whether it is admitted depends on the store alone, even if that takes a while.
    let policy = ["--cluster-lost", "closed", "--cluster-wait", "2"];
    let proxy = ["--proxy-in", "required", "--trust", "127.0.0.0/8"];
    let mut command = command(&to, &[&cluster[..], &policy, &proxy].concat());
    let command = command.env("SSL_CERT_FILE", &cert).stderr(Stdio::piped());
    let mut gateway = Example::start_with("gateway", command).await;
    let stderr = gateway.process.stderr.take().unwrap();
    let admitted = connect(&gateway).await;
    if admitted.is_none() {
        let event = Events(BufReader::new(stderr).lines())
            .with("cannot be reached")
            .await;
        panic!("refused: {event}");
    }
    assert!(connect(&gateway).await.is_none());
    Ok(())
}

#[tokio::test]
async fn options_that_make_no_sense_are_errors() {
    for (args, problem) in [
        (
            &["--cluster", "redis://localhost/0"][..],
            "--cluster and --cluster-per-client",
        ),
        (
            &["--cluster-per-client", "5"],
            "--cluster and --cluster-per-client",
        ),
        (
            &[
                "--cluster",
                "http://localhost/",
                "--cluster-per-client",
                "5",
            ],
            "expected redis://[[USER]:PASSWORD@]HOST",
        ),
        (
            &[
                "--cluster",
                "redis://h/0",
                "--cluster-per-client",
                "5",
                "--cluster-lease",
                "0.1",
            ],
            "--cluster-lease is too short",
        ),
        (
            &["--cluster-mode", "fast"],
            "[possible values: exact, quota]",
        ),
    ] {
        let gateway = Command::new(binary("gateway"))
            .args(["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--check"])
            .args(args)
            .output();
        let output = soon(gateway).await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && errors.contains(problem),
            "{args:?}: {errors}"
        );
    }
}
