//! `examples/gateway/` keeps its promises, with common clients and proxies.

mod abuse;
mod acme;
mod admin;
mod cluster;
mod config;
mod differential;
mod ends;
mod fingerprints;
mod handover;
mod handover_pages;
mod limits;
mod policy;
mod proxies;
mod real_systemd;
mod reload;
mod resets;
mod restarts;
mod routes;
mod shutdown;
mod starttls;
mod starttls_ldap;
mod systemd;
mod tls;
mod tls_identity;
mod upstreams;

use crate::{
    program::{Example, binary},
    support::LONG,
};
use reagent::{BoxError, Connection, Server, ServerHandle, handle};
use reagent_layers::proxy_protocol::{Mode, ProxyInfo, ProxyProtocolLayer};
use std::{future::Future, io, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{ChildStderr, Command},
    time::timeout,
};

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(LONG, future).await.expect("done in time")
}

fn command(to: &str, args: &[&str]) -> Command {
    let mut command = Command::new(binary("gateway"));
    command.args(["--to", to, "--threads", "1"]).args(args);
    if !args.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command
}

/// Starts a gateway to this upstream with these options.
async fn gateway(to: &str, args: &[&str]) -> Example {
    Example::start_with("gateway", command(to, args).stderr(Stdio::null())).await
}

/// Does the same, and also returns its log.
async fn gateway_with_events(to: &str, args: &[&str]) -> (Example, Events) {
    let mut command = command(to, args);
    let mut gateway = Example::start_with("gateway", command.stderr(Stdio::piped())).await;
    let stderr = gateway.process.stderr.take().unwrap();
    (gateway, Events(BufReader::new(stderr).lines()))
}

/// Starts a gateway from a file with these options, and returns its log too.
async fn started(files: &config::Files, args: &[&str]) -> (Example, Events) {
    let mut command = Command::new(binary("gateway"));
    command.args(["--config", &files.path("gateway.toml"), "--threads", "1"]);
    let command = command.args(args).stderr(Stdio::piped());
    let mut gateway = Example::start_with("gateway", command).await;
    let stderr = gateway.process.stderr.take().unwrap();
    (gateway, Events(BufReader::new(stderr).lines()))
}

struct Events(Lines<BufReader<ChildStderr>>);

impl Events {
    /// Waits for the next line that contains these words.
    async fn with(&mut self, words: &str) -> String {
        let event = async {
            loop {
                let line = self.0.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("it said nothing of {words}"));
                if line.contains(words) {
                    return line;
                }
            }
        };
        in_time(event).await
    }
}

/// Starts an upstream that echoes lines, each prefixed with the contents of the PROXY header.
async fn upstream() -> ServerHandle {
    let headers = ProxyProtocolLayer::new([]).trust_all().mode(Mode::Optional);
    Server::bind("127.0.0.1:0")
        .layer(headers)
        .start(handle(tell))
        .await
        .unwrap()
}

async fn tell(conn: Connection) -> io::Result<()> {
    let about = match conn.extensions().get::<ProxyInfo>() {
        Some(info) => format!(
            "{} {} tls={} alpn={} name={}",
            info.version(),
            conn.peer_addr(),
            info.ssl()
                .and_then(|ssl| ssl.version.as_deref())
                .unwrap_or("-"),
            info.alpn().map_or("-".into(), String::from_utf8_lossy),
            info.authority().unwrap_or("-"),
        ),
        None => "none".to_owned(),
    };
    let mut conn = BufReader::new(conn);
    let mut line = String::new();
    while conn.read_line(&mut line).await? > 0 {
        conn.write_all(format!("<{about}> {line}").as_bytes())
            .await?;
        line.clear();
    }
    conn.shutdown().await
}

/// Starts an upstream that echoes lines, each prefixed with a name.
async fn named_upstream(name: &'static str) -> ServerHandle {
    let echo = move |conn: Connection| async move {
        let mut conn = BufReader::new(conn);
        let mut line = String::new();
        while conn.read_line(&mut line).await? > 0 {
            conn.write_all(format!("{name} {line}").as_bytes()).await?;
            line.clear();
        }
        conn.shutdown().await
    };
    let server = Server::bind("127.0.0.1:0");
    server.start(handle(echo)).await.unwrap()
}

/// Sends a line, and returns the response.
async fn say(client: &mut TcpStream, line: &str) -> io::Result<String> {
    let exchange = async {
        client.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        let mut byte = [0];
        loop {
            client.read_exact(&mut byte).await?;
            match byte[0] {
                b'\n' => return Ok(answer),
                byte => answer.push(byte.into()),
            }
        }
    };
    in_time(exchange).await
}

async fn read_all(client: &mut TcpStream) -> io::Result<String> {
    let mut text = String::new();
    in_time(client.read_to_string(&mut text)).await?;
    Ok(text)
}

/// Returns the value of a metric on the gateway's page.
pub async fn metric(addr: &str, name: &str) -> Option<f64> {
    let mut client = TcpStream::connect(addr).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n";
    client.write_all(request).await.unwrap();
    let page = read_all(&mut client).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    let line = page.lines().find(|line| line.starts_with(name))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test]
async fn it_carries_bytes_over_tcp_and_unix_sockets() -> Result<(), BoxError> {
    let upstream = upstream().await;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("gateway.sock");
    let path = path.to_str().unwrap();
    let to = upstream.local_addr().to_string();
    let args = ["--listen", "127.0.0.1:0", "--listen", path];
    let mut first = gateway(&to, &args).await;
    assert_eq!(first.line().await, format!("listening on unix:{path}"));
    let mut client = first.connect().await;
    assert_eq!(say(&mut client, "hello").await?, "<none> hello");

    // Two gateways in a row. The second one connects to the Unix socket of the first.
    let second = gateway(path, &[]).await;
    let mut client = second.connect().await;
    assert_eq!(say(&mut client, "hello").await?, "<none> hello");
    client.shutdown().await?;
    assert_eq!(read_all(&mut client).await?, "");
    second.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn wrong_options_are_reported() {
    let cases: [(&[&str], &str); 23] = [
        (&["--dry-run", "per-clinet"], "did you mean `per-client`?"),
        (
            &["--client-crl", "crl.pem"],
            "--client-crl requires --client-ca",
        ),
        (
            &["--tls-ticket-keys", "a.key"],
            "--tls-ticket-keys requires --tls-cert",
        ),
        (
            &["--tls-admit", "cn:alice"],
            "--tls-admit requires --client-ca",
        ),
        (
            &["--tls-admit", "alice"],
            "expected dns:HOST, dns:*.HOST, uri:URI",
        ),
        (&["--to", "nowhere"], "expected HOST:PORT or the path"),
        (&["--to", ":5432"], "expected HOST:PORT or the path"),
        (&["--max-age", "0"], "greater than 0"),
        (
            &["--drain", "-1"],
            "'-1' for '--drain <SECONDS>': expected a number of seconds from 0",
        ),
        (
            &["--per-client", "-1"],
            "'-1' for '--per-client <N>': expected a whole number of at least 1",
        ),
        (&["--admin-token", "x"], "--admin-token requires --admin"),
        (
            &["--per-client", "x"],
            "'x' for '--per-client <N>': expected a whole number of at least 1",
        ),
        (
            &["--accept-rate", "0"],
            "expected a whole number of at least 1; leave it out for no limit",
        ),
        (
            &["--drain", "-"],
            "expected a number of seconds from 0 to 1000000000",
        ),
        (
            &["--admin-token", "two words"],
            "expected letters, digits and punctuation of ASCII, without spaces",
        ),
        (&["--tls-cert", "/nonexistent.pem"], "--tls-key <FILE>"),
        (
            &[
                "--tls-cert",
                "/nonexistent.pem",
                "--tls-key",
                "/nonexistent.pem",
            ],
            "/nonexistent.pem",
        ),
        (&["--proxy-in", "required"], "--proxy-in requires --trust"),
        (&["--trust", "10.0.0.0/8"], "--trust requires --proxy-in"),
        (
            &["--allow", "10.0.0.0/33"],
            "invalid network \"10.0.0.0/33\": expected an address or a CIDR",
        ),
        (&["--listen", "nowhere"], "a port is missing"),
        (
            &["--ban-exempt", "10.0.0.0/8"],
            "--ban-exempt requires --ban-score",
        ),
        (
            &["--ban-time", "60", "--ban-time-max", "59"],
            "--ban-time is longer than --ban-time-max",
        ),
    ];
    for (args, expected) in cases {
        let mut command = command("127.0.0.1:1", &[]);
        if args[0] == "--to" {
            command = Command::new(binary("gateway"));
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let output = command.args(args).stdin(Stdio::null()).output();
        let output = in_time(output).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{args:?}");
        assert!(said.starts_with("error: "), "{args:?}: {said}");
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}
