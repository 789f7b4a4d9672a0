//! `--tarpit` and `--ban-…`: clients that misbehave are held and banned, and others are served.

use super::{
    Events, config::Files, gateway, gateway_with_events, in_time, metric, read_all, say, started,
    upstream,
};
use crate::{program::Example, skipped::skipped};
use reagent::{BoxError, Connection, Server, handle};
use std::{io, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Command,
};

const BEHIND: [&str; 4] = ["--proxy-in", "required", "--trust", "127.0.0.0/8"];
const METRICS: [&str; 2] = ["--metrics", "127.0.0.1:0"];

/// Reads the address of the metrics page.
async fn page(gateway: &mut Example) -> String {
    let line = gateway.line().await;
    line.strip_prefix("metrics on ").expect(&line).to_owned()
}

/// Waits until a metric has a value.
async fn until(page: &str, name: &str, value: f64) {
    in_time(async { while metric(page, name).await != Some(value) {} }).await;
}

/// Connects as the client in a PROXY header.
async fn connect_as(gateway: &Example, client: &str) -> TcpStream {
    let mut stream = gateway.connect().await;
    let header = format!("PROXY TCP4 {client} 192.0.2.99 4000 443\r\n");
    stream.write_all(header.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn refused_clients_are_held_up_to_a_number_and_let_go_by_a_drain() -> Result<(), BoxError> {
    let upstream = upstream().await;
    let args = ["--deny", "127.0.0.1", "--tarpit", "2"];
    let args = [&args[..], &METRICS].concat();
    let mut gateway = gateway(&upstream.local_addr().to_string(), &args).await;
    let page = page(&mut gateway).await;
    let mut held = vec![gateway.connect().await, gateway.connect().await];
    until(&page, "reagent_tarpit_held", 2.0).await;
    assert_eq!(read_all(&mut gateway.connect().await).await?, "");
    until(&page, "reagent_tarpit_overflowed_total", 1.0).await;
    held.pop();
    until(&page, "reagent_tarpit_held", 1.0).await;
    // Longer than this would be a drain of 10 s.
    in_time(gateway.stop("TERM")).await;
    assert_eq!(read_all(&mut held[0]).await?, "");
    Ok(())
}

#[tokio::test]
async fn a_held_client_gives_way_to_one_that_waits() -> Result<(), BoxError> {
    let upstream = upstream().await;
    let args = [
        "--deny",
        "192.0.2.66",
        "--tarpit",
        "2",
        "--max-connections",
        "2",
    ];
    let args = [&BEHIND[..], &METRICS, &args].concat();
    let mut gateway = gateway(&upstream.local_addr().to_string(), &args).await;
    let page = page(&mut gateway).await;
    let mut held = connect_as(&gateway, "192.0.2.66").await;
    let _also = connect_as(&gateway, "192.0.2.66").await;
    until(&page, "reagent_tarpit_held", 2.0).await;
    let mut client = connect_as(&gateway, "192.0.2.1").await;
    assert_eq!(say(&mut client, "hello").await?, "<none> hello");
    assert_eq!(read_all(&mut held).await?, "");
    until(&page, "reagent_tarpit_gave_way_total", 1.0).await;
    Ok(())
}

/// Offends three times, by connections beyond the limit of a client.
async fn offend(gateway: &Example, client: &str) {
    let mut first = connect_as(gateway, client).await;
    assert_eq!(say(&mut first, "hello").await.unwrap(), "<none> hello");
    for _ in 0..4 {
        let mut refused = connect_as(gateway, client).await;
        assert!(say(&mut refused, "hello").await.is_err());
    }
}

async fn scoring(args: &[&str]) -> (Example, Events, reagent::ServerHandle) {
    let upstream = upstream().await;
    let score = ["--per-client", "1", "--ban-score", "3"];
    let args = [&BEHIND[..], &METRICS, &score, args].concat();
    let (gateway, events) = gateway_with_events(&upstream.local_addr().to_string(), &args).await;
    (gateway, events, upstream)
}

#[tokio::test]
async fn clients_that_offend_too_often_are_banned() -> Result<(), BoxError> {
    let (mut gateway, mut events, _upstream) = scoring(&["--ban-time", "1000"]).await;
    let page = page(&mut gateway).await;
    offend(&gateway, "192.0.2.1").await;
    let event = events.with("client banned").await;
    for words in ["client=192.0.2.1", "offence=refusal", "seconds=1000"] {
        assert!(event.contains(words), "{event}");
    }
    let bans = "reagent_bans_total{dry_run=\"false\",offence=\"refusal\"}";
    until(&page, bans, 1.0).await;
    let mut banned = connect_as(&gateway, "192.0.2.1").await;
    assert!(say(&mut banned, "hello").await.is_err());
    let rejected = format!(
        "reagent_connections_rejected_total{{listener=\"{}\",reason=\"banned\"}}",
        gateway.addr
    );
    until(&page, &rejected, 1.0).await;
    // Neither another client nor the proxy is banned.
    let mut other = connect_as(&gateway, "192.0.2.2").await;
    assert_eq!(say(&mut other, "hello").await?, "<none> hello");
    until(
        &page,
        "reagent_top_clients{by=\"refusals\",rank=\"1\"}",
        5.0,
    )
    .await;
    Ok(())
}

#[tokio::test]
async fn a_dry_run_and_an_exemption_ban_nobody() -> Result<(), BoxError> {
    let (mut gateway, mut events, _upstream) = scoring(&["--dry-run", "ban-score"]).await;
    let page = page(&mut gateway).await;
    offend(&gateway, "192.0.2.1").await;
    events.with("client would be banned").await;
    let bans = "reagent_bans_total{dry_run=\"true\",offence=\"refusal\"}";
    until(&page, bans, 1.0).await;
    until(&page, "reagent_connections_active{", 0.0).await;
    let mut client = connect_as(&gateway, "192.0.2.1").await;
    assert_eq!(say(&mut client, "hello").await?, "<none> hello");

    let exempt = ["--ban-exempt", "192.0.2.0/24"];
    let (mut gateway, _events, _upstream) = scoring(&exempt).await;
    let page = self::page(&mut gateway).await;
    for _ in 0..2 {
        offend(&gateway, "192.0.2.1").await;
        until(&page, "reagent_connections_active{", 0.0).await;
    }
    assert_eq!(metric(&page, "reagent_bans_total").await, None);
    Ok(())
}

/// Answers every request with `hello`.
pub async fn hello(conn: Connection) -> io::Result<()> {
    let mut conn = BufReader::new(conn);
    let mut line = String::new();
    while conn.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
    conn.write_all(answer).await?;
    conn.shutdown().await
}

/// Runs a client to its end, and returns whether it succeeded, with its output. `None` means that
/// it is not installed.
pub async fn run(program: &str, args: &[&str]) -> Option<(bool, String)> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    match in_time(command.output()).await {
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

#[tokio::test]
async fn a_flood_of_openssl_is_banned_and_held_and_curl_goes_on_beside_it() -> Result<(), BoxError>
{
    let upstream = Server::bind("127.0.0.1:0").start(handle(hello)).await?;
    let files = Files::new("");
    files.certify("localhost");
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    let args = ["--tls-cert", &cert, "--tls-key", &key, "--ban-score", "3"];
    let args = [&args[..], &METRICS, &["--tarpit", "2"]].concat();
    let mut gateway = gateway(&upstream.local_addr().to_string(), &args).await;
    let page = page(&mut gateway).await;
    let bad = ["-tls1_2", "-cipher", "AES128-SHA", "-bind", "127.0.0.2:0"];
    let attack = [&["s_client", "-connect", &gateway.addr], &bad[..]].concat();
    let url = format!("https://{}/", gateway.addr);
    let fetch = ["--insecure", "--silent", "--interface", "127.0.0.3", &url];
    let bans = "reagent_bans_total{dry_run=\"false\",offence=\"handshake\"}";
    while metric(&page, bans).await != Some(1.0) {
        let both = async { tokio::join!(run("openssl", &attack), run("curl", &fetch)) };
        let (Some((succeeded, _)), Some((_, answer))) = both.await else {
            return Ok(());
        };
        assert!(!succeeded && answer == "hello", "{answer}");
    }
    // From now on, the attackers wait, and cost no handshake.
    let waiting = || {
        Command::new("openssl")
            .args(&attack)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .spawn()
    };
    let held = [waiting()?, waiting()?];
    until(&page, "reagent_tarpit_held", 2.0).await;
    assert_eq!(run("curl", &fetch).await.unwrap().1, "hello");
    drop(held);
    until(&page, "reagent_tarpit_held", 0.0).await;
    Ok(())
}

#[tokio::test]
async fn a_reload_changes_the_tarpit_and_ends_a_dry_run_and_keeps_the_score() -> Result<(), BoxError>
{
    let upstream = upstream().await;
    let config = |tarpit: &str, score: u64| {
        let to = upstream.local_addr();
        format!(
            "listen = \"127.0.0.1:0\"\nto = \"{to}\"\nmetrics = \"127.0.0.1:0\"\n\
             deny = \"127.0.0.1\"\nban-score = {score}\n{tarpit}\n"
        )
    };
    let files = Files::new(&config("dry-run = \"ban-score\"", 1));
    let (mut gateway, mut events) = started(&files, &[]).await;
    let page = page(&mut gateway).await;
    assert_eq!(read_all(&mut gateway.connect().await).await?, "");
    events.with("client would be banned").await;
    files.write("gateway.toml", &config("tarpit = 1", 1000));
    gateway.signal("HUP").await;
    events
        .with("`ban-score` takes effect after a restart")
        .await;
    events.with("configuration and certificates reloaded").await;
    let held = gateway.connect().await;
    until(&page, "reagent_tarpit_held", 1.0).await;
    drop(held);
    events.with("client banned").await;
    Ok(())
}
