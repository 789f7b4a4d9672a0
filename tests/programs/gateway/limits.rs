//! Access rules, connection limits, rates and timeouts.

use super::{gateway, in_time, metric, read_all, say, upstream};
use crate::program::Example;
use reagent::BoxError;
use tokio::task::JoinSet;
use tokio::{io::AsyncWriteExt, net::TcpStream};

async fn open(args: &[&str]) -> (Example, reagent::ServerHandle) {
    let upstream = upstream().await;
    let to = upstream.local_addr().to_string();
    (gateway(&to, args).await, upstream)
}

/// Connects as the client in a PROXY header.
async fn connect_as(gateway: &Example, client: &str) -> TcpStream {
    let mut stream = gateway.connect().await;
    let header = format!("PROXY TCP4 {client} 192.0.2.99 4000 443\r\n");
    stream.write_all(header.as_bytes()).await.unwrap();
    stream
}

/// Returns whether the connection is closed or reset without a response.
async fn is_refused(mut client: TcpStream) -> bool {
    say(&mut client, "hello").await.is_err()
}

#[tokio::test]
async fn networks_are_allowed_and_denied() -> Result<(), BoxError> {
    let (gateway, _upstream) = open(&["--allow", "127.0.0.0/8,10.0.0.0/8"]).await;
    let mut client = gateway.connect().await;
    assert_eq!(say(&mut client, "hello").await?, "<none> hello");

    let (gateway, _upstream) = open(&["--deny", "127.0.0.1"]).await;
    assert!(is_refused(gateway.connect().await).await);
    Ok(())
}

#[tokio::test]
async fn a_limit_by_client_counts_whom_the_header_names() -> Result<(), BoxError> {
    let args = ["--proxy-in", "required", "--trust", "127.0.0.0/8"];
    let args = [&args[..], &["--per-client", "2", "--deny", "192.0.2.66"]].concat();
    let (gateway, _upstream) = open(&args).await;
    let mut held = Vec::new();
    for client in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
        let mut stream = connect_as(&gateway, client).await;
        assert_eq!(say(&mut stream, "hello").await?, "<none> hello");
        held.push(stream);
    }
    assert!(is_refused(connect_as(&gateway, "192.0.2.1").await).await);
    assert!(is_refused(connect_as(&gateway, "192.0.2.66").await).await);
    let mut other = connect_as(&gateway, "192.0.2.2").await;
    assert_eq!(say(&mut other, "hello").await?, "<none> hello");
    // A released place goes to the next client.
    held.remove(0);
    let again = async { while is_refused(connect_as(&gateway, "192.0.2.1").await).await {} };
    in_time(again).await;
    Ok(())
}

#[tokio::test]
async fn untrusted_clients_cannot_forge_an_address() -> Result<(), BoxError> {
    let args = ["--proxy-in", "optional", "--trust", "10.0.0.0/8"];
    let (gateway, upstream) = open(&[&args[..], &["--allow", "192.0.2.0/24"]].concat()).await;
    assert!(is_refused(connect_as(&gateway, "192.0.2.1").await).await);
    assert!(is_refused(gateway.connect().await).await);
    assert_eq!(upstream.stats().accepted, 0);
    Ok(())
}

#[tokio::test]
async fn clients_beyond_the_limit_wait_for_a_place() -> Result<(), BoxError> {
    let (gateway, upstream) = open(&["--max-connections", "1"]).await;
    let mut first = gateway.connect().await;
    assert_eq!(say(&mut first, "first").await?, "<none> first");
    let mut second = gateway.connect().await;
    second.write_all(b"second\n").await?;
    assert_eq!(say(&mut first, "still first").await?, "<none> still first");
    assert_eq!(upstream.stats().accepted, 1);
    drop(first);
    assert_eq!(say(&mut second, "").await?, "<none> second");
    Ok(())
}

#[tokio::test]
async fn clients_above_the_rate_wait() -> Result<(), BoxError> {
    // Twenty at once, and then twenty per second.
    let (gateway, _upstream) = open(&["--accept-rate", "20"]).await;
    let began = std::time::Instant::now();
    for _ in 0..30 {
        let mut client = gateway.connect().await;
        assert_eq!(say(&mut client, "hello").await?, "<none> hello");
    }
    let waited = began.elapsed();
    assert!(
        waited.as_millis() >= 450,
        "{waited:?} for ten that were too many"
    );
    Ok(())
}

#[tokio::test]
async fn bytes_a_second_are_limited() -> Result<(), BoxError> {
    let (gateway, _upstream) = open(&["--bandwidth", "100000"]).await;
    let mut client = gateway.connect().await;
    let began = std::time::Instant::now();
    // A tenth of a second's worth is sent at once, and the rest at the rate.
    let line = "a".repeat(50_000);
    assert_eq!(say(&mut client, &line).await?, format!("<none> {line}"));
    let took = began.elapsed();
    assert!(
        took.as_millis() >= 390,
        "{took:?} for half a second's worth"
    );
    Ok(())
}

#[tokio::test]
async fn time_is_limited() -> Result<(), BoxError> {
    for (option, speaks) in [
        ("--first-byte-timeout", false),
        ("--idle-timeout", true),
        ("--max-age", true),
    ] {
        let args = ["--metrics", "127.0.0.1:0", "--max-age-grace", "0"];
        let (mut gateway, upstream) = open(&[&[option, "0.2"], &args[..]].concat()).await;
        let metrics = gateway.line().await;
        let metrics = metrics.strip_prefix("metrics on ").expect(&metrics);
        let mut client = gateway.connect().await;
        if speaks {
            assert_eq!(say(&mut client, "hello").await?, "<none> hello");
        }
        let _ = read_all(&mut client).await;
        let kind = match option {
            "--first-byte-timeout" => "first byte",
            "--idle-timeout" => "idle",
            _ => "age",
        };
        let over =
            async { while metric(metrics, "reagent_connections_active{").await != Some(0.0) {} };
        in_time(over).await;
        let addr = &gateway.addr;
        let name =
            format!("reagent_connections_timed_out_total{{listener=\"{addr}\",kind=\"{kind}\"}}");
        assert_eq!(metric(metrics, &name).await, Some(1.0), "{option}");
        crate::support::stop(&upstream).await;
    }
    Ok(())
}

/// A quiet connection is closed in order, and a busy one has the grace period.
#[tokio::test]
async fn a_connection_of_its_age_is_closed_when_it_is_quiet() -> Result<(), BoxError> {
    let (gateway, _upstream) = open(&["--max-age", "0.2", "--max-age-grace", "3600"]).await;
    let (mut quiet, mut busy) = (gateway.connect().await, gateway.connect().await);
    assert_eq!(say(&mut quiet, "hello").await?, "<none> hello");
    let mut closed = JoinSet::new();
    closed.spawn(async move { read_all(&mut quiet).await });
    // The busy one is still open when the quiet one has been closed.
    let ended = loop {
        if let Some(ended) = closed.try_join_next() {
            break ended;
        }
        assert_eq!(say(&mut busy, "hello").await?, "<none> hello");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    assert_eq!(ended??, "");
    assert_eq!(say(&mut busy, "hello").await?, "<none> hello");
    assert_eq!(read_all(&mut busy).await?, "");
    Ok(())
}

#[tokio::test]
async fn the_bytes_of_an_open_connection_are_measured() -> Result<(), BoxError> {
    let (mut gateway, _upstream) = open(&["--metrics", "127.0.0.1:0"]).await;
    let metrics = gateway.line().await;
    let metrics = metrics.strip_prefix("metrics on ").expect(&metrics);
    let mut client = gateway.connect().await;
    assert_eq!(say(&mut client, "hello").await?, "<none> hello");
    for (name, bytes) in [("received", 6.0), ("sent", 13.0)] {
        let name = format!("reagent_connection_{name}_bytes_total{{");
        let measured = async { while metric(metrics, &name).await != Some(bytes) {} };
        in_time(measured).await;
    }
    Ok(())
}
