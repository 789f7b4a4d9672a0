//! The HTTP examples, with common clients.

use crate::{
    program::{Example, binary},
    support::{LONG, rest, until},
};
use prost::Message;
use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::timeout,
};
use tokio_stream::StreamExt;

/// Returns whether `program` is installed. If not, prints that the test is skipped.
fn has(program: &str) -> bool {
    let found = std::process::Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        crate::skipped::skipped(format_args!("{program} is not installed"));
    }
    found
}

async fn curl(args: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["-q", "-sS", "-k", "--noproxy", "*", "--max-time", "20"])
        .args(args)
        .output();
    let output = timeout(LONG * 2, output).await.expect("in time").unwrap();
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {answer} {error}");
    answer
}

/// Starts the example with a certificate.
async fn start_tls(dir: &tempfile::TempDir, more: &[&str]) -> Example {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut command = Command::new(binary("http"));
    command.args(["--listen", "127.0.0.1:0", "--tls-cert"]);
    command.arg(&cert).arg("--tls-key").arg(&key).args(more);
    Example::start_with("http", &mut command).await
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn curl_by_every_version_plain_and_encrypted_at_one_address() {
    if !has("curl") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let example = start_tls(&dir, &[]).await;
    let (http, https) = (
        format!("http://{}", example.addr),
        format!("https://{}", example.addr),
    );
    for (base, version, spoken, alpn) in [
        (&http, "--http1.1", "1.1", None),
        (&http, "--http2-prior-knowledge", "2", None),
        (&https, "--http1.1", "1.1", Some("http/1.1")),
        (&https, "--http2", "2", Some("h2")),
    ] {
        let url = format!("{base}/");
        let answer = curl(&[version, "-w", " %{http_version}", &url]).await;
        assert_eq!(answer, format!("hello {spoken}"), "{base} {version}");
        let info = json(&curl(&[version, &format!("{base}/info")]).await);
        assert!(
            info["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
            "{info}"
        );
        assert_eq!(info["alpn"].as_str(), alpn, "{info}");
        assert_eq!(info["tls"].as_str(), alpn.map(|_| "1.3"), "{info}");
        assert!(info["connection_id"].as_u64().unwrap() > 0, "{info}");
    }
    // Two requests on one connection.
    let info = format!("{http}/info");
    let both = curl(&[&info, &info]).await.replace("}{", "}\n{");
    let ids: Vec<_> = both
        .lines()
        .map(|line| json(line)["connection_id"].clone())
        .collect();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(curl(&[&format!("{http}/slow?ms=5")]).await, "slow");

    let open = json(&curl(&[&format!("{http}/connections")]).await);
    assert_eq!(open.as_array().unwrap().len(), 1, "{open}");
    let metrics = curl(&[&format!("{http}/metrics")]).await;
    assert!(
        metrics.contains("reagent_connections_accepted_total"),
        "{metrics}"
    );

    // The connection stays open after the handshake, so curl ends at its time limit. It prints the
    // head only then.
    let handshake = Command::new("curl")
        .args(["-q", "-sS", "-i", "--no-buffer", "--http1.1"])
        .args(["--noproxy", "*", "--max-time", "4"])
        .args(["-H", "Connection: Upgrade", "-H", "Upgrade: websocket"])
        .args(["-H", "Sec-WebSocket-Version: 13"])
        .args(["-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="])
        .arg(format!("{http}/ws"))
        .output();
    let handshake = timeout(LONG, handshake).await.expect("in time").unwrap();
    let handshake = String::from_utf8_lossy(&handshake.stdout).into_owned();
    assert!(handshake.contains(" 101 Switching"), "{handshake}");
    // RFC 6455, 1.3.
    assert!(
        handshake.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        "{handshake}"
    );
    example.stop("TERM").await;
}

#[tokio::test]
async fn a_websocket_is_listed_and_ends_with_the_drain() {
    let mut example = Example::start("http").await;
    let mut client = example.connect().await;
    let upgrade = "GET /ws HTTP/1.1\r\nhost: here\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(upgrade.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    client.write_all(b"\x81\x82\0\0\0\0hi").await.unwrap();
    let mut echo = [0; 4];
    client.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"\x81\x02hi");

    let mut other = example.connect().await;
    let request = "GET /connections HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
    other.write_all(request.as_bytes()).await.unwrap();
    let answer = String::from_utf8(rest(&mut other).await.unwrap()).unwrap();
    assert!(answer.contains(r#""phase":"detached""#), "{answer}");

    example.signal("TERM").await;
    assert_eq!(rest(&mut client).await.unwrap(), b"\x88\x00");
    // The other connection may already have been about to end when the drain started.
    let report = example.line().await;
    let reports = [1, 2].map(|n| format!("{n} connections finished, 0 aborted"));
    assert!(reports.contains(&report), "{report}");
}

#[tokio::test]
async fn clients_are_those_reported_by_a_proxy_and_have_their_limit() {
    let mut command = Command::new(binary("http"));
    command.args(["--listen", "127.0.0.1:0", "--per-client", "1"]);
    command.args(["--proxy-in", "required", "--trust", "127.0.0.0/8"]);
    let example = Example::start_with("http", &mut command).await;
    let ask = async |from: &str| {
        let mut client = example.connect().await;
        let text = format!(
            "PROXY TCP4 {from} 192.0.2.9 1000 80\r\nGET /info HTTP/1.1\r\nhost: here\r\n\r\n"
        );
        client.write_all(text.as_bytes()).await.unwrap();
        let mut answer = vec![0; 2048];
        let n = client.read(&mut answer).await.unwrap_or(0);
        answer.truncate(n);
        (client, String::from_utf8(answer).unwrap())
    };
    let (first, answer) = ask("192.0.2.1").await;
    assert!(answer.contains(r#""peer":"192.0.2.1:1000""#), "{answer}");
    let (_second, answer) = ask("192.0.2.1").await;
    assert_eq!(answer, "");
    let (_other, answer) = ask("192.0.2.2").await;
    assert!(answer.contains(r#""peer":"192.0.2.2:1000""#), "{answer}");
    drop(first);
    example.stop("INT").await;
}

#[derive(Clone, PartialEq, Message)]
struct CountRequest {
    #[prost(uint32, tag = "1")]
    to: u32,
    #[prost(uint32, tag = "2")]
    every_ms: u32,
}

#[derive(Clone, PartialEq, Message)]
struct CountReply {
    #[prost(uint32, tag = "1")]
    number: u32,
}

#[tokio::test]
async fn a_drain_breaks_no_stream_of_grpc() {
    let mut example = Example::start("grpc").await;
    let endpoint =
        tonic::transport::Endpoint::from_shared(format!("http://{}", example.addr)).unwrap();
    let channel = timeout(LONG, endpoint.connect()).await.unwrap().unwrap();
    let count = async |to, every_ms| {
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<CountRequest, CountReply>::default();
        let path = http::uri::PathAndQuery::from_static("/demo.Counter/Count");
        let request = tonic::Request::new(CountRequest { to, every_ms });
        grpc.server_streaming(request, path, codec)
            .await
            .unwrap()
            .into_inner()
    };
    let mut bounded = count(20, 20).await;
    let mut endless = count(0, 20).await;
    assert_eq!(bounded.next().await.unwrap().unwrap().number, 1);
    assert_eq!(endless.next().await.unwrap().unwrap().number, 1);
    example.signal("TERM").await;
    // The stream runs to its last number and then ends without an error. A status other than `OK`
    // would be one.
    let mut last = 1;
    while let Some(reply) = timeout(LONG, bounded.next()).await.unwrap() {
        last = reply.expect("no broken stream").number;
    }
    assert_eq!(last, 20);
    while let Some(reply) = timeout(LONG, endless.next()).await.unwrap() {
        reply.expect("no broken stream");
    }
    assert!(endless.trailers().await.unwrap().is_some());
    drop(channel);
    assert_eq!(example.line().await, "1 connections finished, 0 aborted");
}

/// Sends requests until it is stopped. A connection that was closed between two requests is
/// replaced.
async fn ask_again_and_again(
    addr: String,
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
) -> Result<(), String> {
    let mut kept: Option<TcpStream> = None;
    while !stop.load(SeqCst) {
        let is_fresh = kept.is_none();
        let mut client = match kept.take() {
            Some(client) => client,
            None => TcpStream::connect(&addr)
                .await
                .map_err(|error| error.to_string())?,
        };
        let request = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";
        let sent = client.write_all(request).await;
        let mut answer = Vec::new();
        while sent.is_ok() && !answer.ends_with(b"hello") {
            let mut part = [0; 1024];
            match client.read(&mut part).await {
                Ok(n) if n > 0 => answer.extend_from_slice(&part[..n]),
                // Closed while the next request was on its way: clients retry (RFC 9112, section
                // 9.3.1).
                _ if answer.is_empty() && !is_fresh => break,
                other => {
                    return Err(format!(
                        "{other:?} after {:?}",
                        String::from_utf8_lossy(&answer)
                    ));
                }
            }
        }
        if answer.ends_with(b"hello") {
            answers.fetch_add(1, SeqCst);
            let says_close = String::from_utf8_lossy(&answer).contains("connection: close");
            kept = (!says_close).then_some(client);
        }
    }
    Ok(())
}

/// Starts a server that may share its address with another one. Both are in this process, but this
/// works as it would in two.
async fn one_of_two(addr: &str, answers: &Arc<AtomicUsize>) -> reagent::ServerHandle {
    let answers = answers.clone();
    let hello = axum::routing::get(async move || {
        answers.fetch_add(1, SeqCst);
        "hello"
    });
    reagent::Server::bind(addr)
        .options(|options| options.reuse_port = true)
        .layer(reagent_layers::http::HttpLayer::new())
        .start(axum::Router::new().route("/", hello))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_replacement_takes_over_under_load_and_nobody_gets_an_error() {
    let old = one_of_two("127.0.0.1:0", &Arc::default()).await;
    let addr = old.local_addr().to_string();
    let (stop, answers) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..16 {
        clients.spawn(ask_again_and_again(
            addr.clone(),
            stop.clone(),
            answers.clone(),
        ));
    }
    until("they are served", || answers.load(SeqCst) > 500).await;
    let new = one_of_two(&addr, &Arc::default()).await;
    let report = old.drain(Duration::from_secs(10)).await;
    assert_eq!(report.aborted, 0);
    let before = answers.load(SeqCst);
    until("they are served by the new one", || {
        answers.load(SeqCst) > before + 500
    })
    .await;
    assert!(new.stats().accepted > 0);
    stop.store(true, SeqCst);
    while let Some(client) = clients.join_next().await {
        client.unwrap().unwrap();
    }
}

#[tokio::test]
async fn wrk_and_h2load_see_a_clean_close() {
    for (program, args) in [
        ("wrk", &["-t1", "-c16", "-d2s"][..]),
        ("h2load", &["-t1", "-c16", "-m8", "-D2"]),
    ] {
        if !has(program) {
            continue;
        }
        let example = Example::start("http").await;
        let load = Command::new(program)
            .args(args)
            .arg(format!("http://{}/", example.addr))
            .output();
        let output = timeout(LONG, load).await.expect("in time").unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        assert!(
            !text.contains("Socket errors") && !text.contains("Non-2xx"),
            "{text}"
        );
        if program == "h2load" {
            assert!(text.contains(" 0 failed, 0 errored, 0 timeout"), "{text}");
        }
        example.stop("TERM").await;
    }
}

/// Runs a load of 16 clients against a server that drains while another one takes its place.
/// Returns the output of the load, and the number of responses from each server.
async fn load_across_a_replacement(program: &str, args: &[&str]) -> (String, usize, usize) {
    let (by_old, by_new) = (Arc::default(), Arc::default());
    let old = one_of_two("127.0.0.1:0", &by_old).await;
    let addr = old.local_addr().to_string();
    let load = Command::new(program)
        .args(args)
        .arg(format!("http://{addr}/"))
        .output();
    let draining = async {
        until("it is under load", || by_old.load(SeqCst) > 500).await;
        let new = one_of_two(&addr, &by_new).await;
        let report = old.drain(LONG).await;
        assert_eq!(report.aborted, 0, "{report:?}");
        new
    };
    let (output, _new) = tokio::join!(timeout(LONG, load), draining);
    let output = output.expect("in time").unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    (text, by_old.load(SeqCst), by_new.load(SeqCst))
}

/// wrk counts every end as an error unless `Connection: close` announced it.
#[tokio::test]
async fn wrk_sees_no_error_when_another_server_takes_over() {
    if has("wrk") {
        let (text, _, by_new) = load_across_a_replacement("wrk", &["-t1", "-c16", "-d2s"]).await;
        assert!(by_new > 500, "{text}");
        assert!(
            !text.contains("Socket errors") && !text.contains("Non-2xx"),
            "{text}"
        );
    }
}

/// h2load does not reconnect after GOAWAY, and counts requests as failed that it has not sent by
/// then.
#[tokio::test]
async fn h2load_gets_every_answer_from_a_server_that_drains() {
    if has("h2load") {
        let args = ["-t1", "-c16", "-m8", "-D2"];
        let (text, by_old, by_new) = load_across_a_replacement("h2load", &args).await;
        assert!(text.contains(" 0 timeout"), "{text}");
        let answers = format!("status codes: {} 2xx, 0 3xx, 0 4xx, 0 5xx", by_old + by_new);
        assert!(text.contains(&answers), "{by_old} + {by_new}: {text}");
    }
}

/// Starts the example with short limits, for tests with slow clients.
async fn start_strict() -> Example {
    let mut command = Command::new(binary("http"));
    command.args(["--listen", "127.0.0.1:0", "--stream-idle-timeout", "2"]);
    Example::start_with("http", &mut command).await
}

/// Returns an HTTP/1 response.
async fn ask(example: &Example, path: &str) -> String {
    let mut client = example.connect().await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    String::from_utf8(rest(&mut client).await.unwrap()).unwrap()
}

/// Slow bodies and slow readers are ended at their limit although slowhttptest keeps its side open,
/// and slow request heads do not keep other clients out.
#[tokio::test]
async fn slowhttptest_keeps_nobody_out() {
    if !has("slowhttptest") {
        return;
    }
    for (args, path, is_ended) in [
        (&["-H", "-i", "1"][..], "/", false),
        (
            &["-B", "-i", "30", "-s", "8192", "-t", "POST"],
            "/echo",
            true,
        ),
        (
            &["-X", "-w", "1", "-y", "2", "-n", "30", "-z", "1"],
            "/big?bytes=100000000",
            true,
        ),
    ] {
        let example = start_strict().await;
        let mut slow = Command::new("slowhttptest")
            .args(["-c", "20", "-r", "100", "-l", "60", "-p", "2"])
            .args(args)
            .args(["-u", &format!("http://{}{path}", example.addr)])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let open = async || {
            ask(&example, "/connections")
                .await
                .matches("\"id\"")
                .count()
        };
        let count = async |is_enough: fn(usize) -> bool| {
            while !is_enough(open().await) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let all = timeout(LONG, count(|open| open > 20)).await;
        all.unwrap_or_else(|_| panic!("{args:?}: they do not come"));
        assert!(ask(&example, "/").await.ends_with("hello"), "{args:?}");
        if is_ended {
            let gone = timeout(LONG, count(|open| open < 5)).await;
            gone.unwrap_or_else(|_| panic!("{args:?}: they are not ended"));
        }
        slow.kill().await.unwrap();
        example.stop("TERM").await;
    }
}

#[tokio::test]
async fn a_hangup_reads_the_certificate_again_or_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for (mut example, said) in [
        (start_tls(&dir, &[]).await, "certificate reloaded"),
        (Example::start("http").await, "nothing to reload"),
    ] {
        example.signal("HUP").await;
        assert_eq!(example.line().await, said);
        assert!(ask(&example, "/").await.ends_with("hello"));
        example.stop("TERM").await;
    }
}

#[tokio::test]
async fn a_closed_standard_output_ends_nothing() {
    let mut example = Example::start("http").await;
    example.close_output();
    for _ in 0..2 {
        example.signal("HUP").await;
        assert!(ask(&example, "/").await.ends_with("hello"));
    }
    example.stop("TERM").await;
}

#[tokio::test]
async fn bodies_are_streamed_in_both_directions() {
    let example = Example::start("http").await;
    let big = ask(&example, "/big?bytes=200000").await;
    assert_eq!(big.matches('x').count(), 200_000);
    let mut client = example.connect().await;
    let head = "POST /echo HTTP/1.1\r\nhost: here\r\ncontent-length: 6\r\n\r\none";
    client.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let mut hear = async |text: &str| {
        while !answer.ends_with(text) {
            let byte = timeout(LONG, client.read_u8()).await.expect("in time");
            answer.push(byte.unwrap().into());
        }
    };
    // The first half comes back before the second one is sent.
    hear("\r\n\r\none").await;
    client.write_all(b"two").await.unwrap();
    let mut answer = [0; 3];
    let heard = timeout(LONG, client.read_exact(&mut answer)).await;
    heard.expect("in time").unwrap();
    assert_eq!(&answer, b"two");
    example.stop("TERM").await;
}
