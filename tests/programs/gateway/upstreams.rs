//! Several upstreams behind one gateway.

use super::{
    Events,
    admin::{Page, WRITE},
    config::Files,
    gateway, gateway_with_events, in_time, metric, named_upstream, read_all, say, started,
};
use crate::{
    port::Port,
    program::{Example, binary},
};
use reagent::{BoxError, Connection, Server, ServerHandle, handle};
use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::Command,
    task::JoinSet,
    time::{sleep, timeout},
};

/// The time within which a client is closed if no upstream can be reached.
const CLOSED: Duration = Duration::from_secs(10);

fn addr(server: &ServerHandle) -> String {
    server.local_addr().to_string()
}

/// Connects and sends a line, and returns the answer.
async fn ask(gateway: &str) -> io::Result<String> {
    let mut client = in_time(TcpStream::connect(gateway)).await?;
    say(&mut client, "hello").await
}

/// A listener whose queue is full, so that a connection to it is never answered.
struct BlackHole {
    listener: Socket,
    _queued: Vec<Socket>,
}

impl BlackHole {
    fn new() -> Self {
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let addr = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        loop {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            if client
                .connect_timeout(&addr, Duration::from_millis(200))
                .is_err()
            {
                break;
            }
            queued.push(client);
        }
        BlackHole {
            listener,
            _queued: queued,
        }
    }

    fn addr(&self) -> String {
        let addr = self.listener.local_addr().unwrap();
        addr.as_socket().unwrap().to_string()
    }
}

/// Starts an upstream at this address that echoes lines.
async fn echoing(at: &str) -> ServerHandle {
    let server = Server::bind(at.to_owned());
    server.start(handle(echo_lines)).await.unwrap()
}

async fn echo_lines(conn: Connection) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(conn);
    tokio::io::copy(&mut reader, &mut writer).await?;
    writer.shutdown().await
}

/// Serves clients, some at a time, and counts those that have been.
struct Clients {
    gateway: String,
    served: Arc<AtomicUsize>,
    running: JoinSet<()>,
}

impl Clients {
    /// Begins to serve clients until there were `count`.
    fn start(gateway: &Example, count: usize) -> Self {
        let mut clients = Clients {
            gateway: gateway.addr.clone(),
            served: Arc::default(),
            running: JoinSet::new(),
        };
        let begun = Arc::new(AtomicUsize::new(0));
        for _ in 0..32 {
            let (gateway, begun) = (clients.gateway.clone(), begun.clone());
            let served = clients.served.clone();
            clients.running.spawn(async move {
                while begun.fetch_add(1, Relaxed) < count {
                    let number = served.load(Relaxed);
                    let answer = ask(&gateway).await;
                    let answer = answer.unwrap_or_else(|error| panic!("after {number}: {error}"));
                    assert_eq!(answer, "hello");
                    served.fetch_add(1, Relaxed);
                }
            });
        }
        clients
    }

    /// Waits until so many clients have been served.
    async fn until(&mut self, count: usize) {
        in_time(async {
            while self.served.load(Relaxed) < count {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

/// With `REAGENT_UPSTREAMS=full`, ten thousand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_is_lost_while_upstreams_die_hang_and_return() -> Result<(), BoxError> {
    let is_full = std::env::var("REAGENT_UPSTREAMS").is_ok_and(|value| value == "full");
    let part = if is_full { 1000 } else { 200 };
    let steady = echoing("127.0.0.1:0").await;
    let port = Port::new();
    let mut dying = echoing(&port.addr().to_string()).await;
    let stopped = Example::start("echo").await;
    let hole = BlackHole::new();
    let (at, hung) = (addr(&dying), hole.addr());
    let to = ["--to", &at, "--to", &stopped.addr, "--to", &hung];
    let args = [&to[..], &["--metrics", "127.0.0.1:0"]].concat();
    let gateway = gateway(&addr(&steady), &args).await;
    let mut clients = Clients::start(&gateway, 10 * part);
    for round in [0, 5] {
        clients.until((round + 1) * part).await;
        dying.drain(Duration::from_secs(10)).await;
        clients.until((round + 2) * part).await;
        dying = echoing(&at).await;
        stopped.signal("STOP").await;
        clients.until((round + 3) * part).await;
        stopped.signal("CONT").await;
        clients.until((round + 4) * part).await;
    }
    let ended = clients.running.join_all();
    timeout(Duration::from_secs(60), ended).await?;
    Ok(())
}

#[tokio::test]
async fn clients_are_spread_by_the_weights() -> Result<(), BoxError> {
    let (a, b, c) = (
        named_upstream("a").await,
        named_upstream("b").await,
        named_upstream("c").await,
    );
    let (b, c) = (format!("{}=2", addr(&b)), format!("{}=3", addr(&c)));
    let gateway = gateway(&addr(&a), &["--to", &b, "--to", &c]).await;
    let (mut open, mut counts) = (Vec::new(), HashMap::<_, usize>::new());
    for _ in 0..240 {
        let mut client = gateway.connect().await;
        let answer = say(&mut client, "hello").await?;
        *counts.entry(answer).or_default() += 1;
        open.push(client);
    }
    for (answer, share) in [("a hello", 40_usize), ("b hello", 80), ("c hello", 120)] {
        assert!(counts[answer].abs_diff(share) <= share / 20, "{counts:?}");
    }
    Ok(())
}

/// Asks as many clients, each of which a PROXY header names.
async fn ask_as_clients(gateway: &str) -> Result<Vec<String>, BoxError> {
    let mut answers = Vec::new();
    for number in 1..=60 {
        let mut client = TcpStream::connect(gateway).await?;
        let header = format!("PROXY TCP4 192.0.2.{number} 192.0.2.99 4000 443\r\n");
        client.write_all(header.as_bytes()).await?;
        answers.push(say(&mut client, "hello").await?);
    }
    Ok(answers)
}

async fn reload(files: &Files, gateway: &Example, events: &mut Events, config: &str) {
    files.write("gateway.toml", config);
    gateway.signal("HUP").await;
    events.with("configuration and certificates reloaded").await;
}

#[tokio::test]
async fn a_client_keeps_its_upstream_when_a_reload_removes_another() -> Result<(), BoxError> {
    let (a, b, c) = (
        named_upstream("a").await,
        named_upstream("b").await,
        named_upstream("c").await,
    );
    let config = |to: &[&ServerHandle]| {
        let to: Vec<_> = to.iter().map(|to| addr(to)).collect();
        format!(
            "listen = '127.0.0.1:0'\nproxy-in = 'required'\ntrust = '127.0.0.1'\n\
             balance = 'hash'\nto = {to:?}\n"
        )
    };
    let files = Files::new(&config(&[&a, &b, &c]));
    let (gateway, mut events) = started(&files, &[]).await;
    let before = ask_as_clients(&gateway.addr).await?;
    assert_eq!(ask_as_clients(&gateway.addr).await?, before);
    reload(&files, &gateway, &mut events, &config(&[&c, &a])).await;
    let after = ask_as_clients(&gateway.addr).await?;
    let mut moved = 0;
    for (before, after) in before.iter().zip(&after) {
        match &**before {
            "b hello" => moved += 1,
            _ => assert_eq!(before, after),
        }
    }
    assert!((5..40).contains(&moved), "{moved}");
    Ok(())
}

#[tokio::test]
async fn a_client_is_closed_in_time_if_all_upstreams_are_down() -> Result<(), BoxError> {
    let refused = ["--to", "127.0.0.1:1", "--to", "127.0.0.2:1"];
    let (refusing, mut events) = gateway_with_events("127.0.0.3:1", &refused).await;
    let mut client = refusing.connect().await;
    assert_eq!(
        timeout(CLOSED, client.read(&mut [0])).await?.unwrap_or(0),
        0
    );
    let event = events.with("upstream not reached").await;
    assert!(event.contains("127.0.0.2:1"), "{event}");

    let holes = [
        BlackHole::new(),
        BlackHole::new(),
        BlackHole::new(),
        BlackHole::new(),
    ];
    let [first, others @ ..] = holes.each_ref().map(BlackHole::addr);
    let [a, b, c] = &others;
    let hanging = gateway(&first, &["--to", a, "--to", b, "--to", c]).await;
    let mut client = hanging.connect().await;
    assert_eq!(
        timeout(CLOSED, client.read(&mut [0])).await?.unwrap_or(0),
        0
    );
    Ok(())
}

/// Waits until the metric of an upstream has this value.
async fn until_metric(page: &str, name: &str, upstream: &str, value: f64) {
    let name = format!("{name}{{listener=\"127.0.0.1:0\",upstream=\"{upstream}\"}}");
    in_time(async {
        loop {
            if metric(page, &name).await == Some(value) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// Waits until no metric names this upstream.
async fn until_no_metric(page: &str, upstream: &str) {
    let label = format!("upstream=\"{upstream}\"");
    in_time(async {
        loop {
            let request = b"GET /metrics HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n";
            let mut client = TcpStream::connect(page).await.unwrap();
            client.write_all(request).await.unwrap();
            let text = read_all(&mut client).await.unwrap();
            assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
            if !text.contains(&label) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_resets_what_it_accepts_is_left_out() -> Result<(), BoxError> {
    let good = named_upstream("good").await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let bad = listener.local_addr()?.to_string();
    let mut resets = JoinSet::new();
    resets.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    });
    let (gateway, mut events) = gateway_with_events(&addr(&good), &["--to", &bad]).await;
    let mut failures = 0;
    for _ in 0..40 {
        if ask(&gateway.addr).await.is_err() {
            failures += 1;
        }
    }
    // A reset may come before the connection is known to be open. Then it is retried.
    assert!(failures <= 3, "{failures}");
    let event = events.with("upstream left out").await;
    assert!(event.contains(&bad) && event.contains("ejected"), "{event}");
    Ok(())
}

#[tokio::test]
async fn checks_find_what_is_down_before_clients_do() -> Result<(), BoxError> {
    let good = named_upstream("good").await;
    let port = Port::new();
    let page = port.addr().to_string();
    let args = [
        "--to",
        "127.0.0.1:1",
        "--health-check",
        "tcp",
        "--metrics",
        &page,
    ];
    let gateway = gateway(&addr(&good), &args).await;
    until_metric(&page, "gateway_upstream_available", "127.0.0.1:1", 0.0).await;
    for _ in 0..20 {
        assert_eq!(ask(&gateway.addr).await?, "good hello");
    }
    until_metric(&page, "gateway_upstream_failures_total", "127.0.0.1:1", 0.0).await;
    until_metric(
        &page,
        "gateway_upstream_connections_total",
        &addr(&good),
        20.0,
    )
    .await;
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_says_that_it_is_not_ready_gets_no_clients() -> Result<(), BoxError> {
    // The clients speak lines, and the checks HTTP.
    async fn serve(conn: Connection, status: u16) -> io::Result<()> {
        let mut conn = conn;
        let mut bytes = [0; 1024];
        let read = conn.read(&mut bytes).await?;
        let answer = match bytes[..read].starts_with(b"GET /ready HTTP/1.1\r\n") {
            true => format!("HTTP/1.1 {status} x\r\n\r\n"),
            false => format!("{status}\n"),
        };
        conn.write_all(answer.as_bytes()).await?;
        conn.shutdown().await
    }
    let bind = || Server::bind("127.0.0.1:0");
    let ready = bind().start(handle(|conn| serve(conn, 200))).await?;
    let not_ready = bind().start(handle(|conn| serve(conn, 503))).await?;
    let to = addr(&not_ready);
    let args = ["--to", &to, "--health-check", "http:/ready"];
    let (gateway, mut events) = gateway_with_events(&addr(&ready), &args).await;
    let event = events.with("upstream left out").await;
    assert!(
        event.contains("answered with 503") && event.contains(&to),
        "{event}"
    );
    for _ in 0..20 {
        assert_eq!(ask(&gateway.addr).await?, "200");
    }
    Ok(())
}

#[tokio::test]
async fn upstreams_are_reached_with_tls_and_checked_with_a_header() -> Result<(), BoxError> {
    let files = Files::new("");
    files.certify("upstream.example.org");
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    let server = named_upstream("tls").await;
    // Another gateway is the upstream: it requires TLS inside of a PROXY header.
    let tls = ["--tls-cert", &cert, "--tls-key", &key];
    let proxy = ["--proxy-in", "required", "--trust", "127.0.0.1"];
    let inner = gateway(&addr(&server), &[&tls[..], &proxy].concat()).await;
    let port = Port::new();
    let page = port.addr().to_string();
    let outer = |name: &'static str| {
        [
            "--to-tls",
            "--to-ca",
            &cert,
            "--to-name",
            name,
            "--proxy-out",
            "v2",
            "--health-check",
            "tls",
        ]
    };
    let metrics = ["--metrics", &page];
    let args = [&outer("upstream.example.org")[..], &metrics].concat();
    let outside = gateway(&inner.addr, &args).await;
    assert_eq!(ask(&outside.addr).await?, "tls hello");
    until_metric(&page, "gateway_upstream_available", &inner.addr, 1.0).await;
    // A certificate for another name.
    let (outside, mut events) = gateway_with_events(&inner.addr, &outer("other.example.org")).await;
    let event = events.with("upstream left out").await;
    assert!(event.contains("check failed"), "{event}");
    let mut client = outside.connect().await;
    assert_eq!(read_all(&mut client).await.unwrap_or_default(), "");
    Ok(())
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_of_upstreams_that_stay() -> Result<(), BoxError> {
    let (a, b) = (named_upstream("a").await, named_upstream("b").await);
    let port = Port::new();
    let page = port.addr().to_string();
    let config = |to: &[String]| {
        format!("listen = '127.0.0.1:0'\nmetrics = '{page}'\nto = {to:?}\nhealth-check = 'tcp'\n")
    };
    let dead = "127.0.0.1:1".to_owned();
    let files = Files::new(&config(&[addr(&a), dead.clone()]));
    let (gateway, mut events) = started(&files, &[]).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut client = gateway.connect().await;
        assert_eq!(say(&mut client, "hello").await?, "a hello");
        open.push(client);
    }
    events.with("upstream left out").await;
    let changed = config(&[format!("{}=3", addr(&b)), addr(&a), dead.clone()]);
    reload(&files, &gateway, &mut events, &changed).await;
    until_metric(&page, "gateway_upstream_connections_open", &addr(&a), 4.0).await;
    until_metric(&page, "gateway_upstream_available", &dead, 0.0).await;
    // The one without connections is preferred.
    assert_eq!(ask(&gateway.addr).await?, "b hello");
    // A mistake changes nothing.
    files.write("gateway.toml", &config(&["nowhere".to_owned()]));
    gateway.signal("HUP").await;
    let event = events.with("the old ones remain in use").await;
    assert!(event.contains("invalid `to`: invalid address"), "{event}");
    // Back to one address, and the open connections go on.
    reload(&files, &gateway, &mut events, &config(&[addr(&b)])).await;
    assert_eq!(ask(&gateway.addr).await?, "b hello");
    for client in &mut open {
        assert_eq!(say(client, "still here").await?, "a still here");
    }
    until_metric(&page, "gateway_upstream_connections_open", &addr(&a), 4.0).await;
    open.clear();
    until_no_metric(&page, &addr(&a)).await;
    Ok(())
}

#[tokio::test]
async fn a_single_address_keeps_the_counts_of_its_set() -> Result<(), BoxError> {
    let (a, b) = (named_upstream("a").await, named_upstream("b").await);
    let port = Port::new();
    let page = port.addr().to_string();
    let config =
        |to: &[String]| format!("listen = '127.0.0.1:0'\nmetrics = '{page}'\nto = {to:?}\n");
    let both = config(&[addr(&a), addr(&b)]);
    let files = Files::new(&both);
    let (gateway, mut events) = started(&files, &[]).await;
    let mut open = [gateway.connect().await, gateway.connect().await];
    for client in &mut open {
        assert!(say(client, "hello").await?.ends_with(" hello"));
    }
    for config in [config(&[addr(&a)]), both] {
        reload(&files, &gateway, &mut events, &config).await;
        for upstream in [&a, &b] {
            until_metric(
                &page,
                "gateway_upstream_connections_open",
                &addr(upstream),
                1.0,
            )
            .await;
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_is_drained_on_the_page_stays_so_through_reloads() -> Result<(), BoxError>
{
    let (a, b) = (named_upstream("a").await, named_upstream("b").await);
    let port = Port::new();
    let admin = port.addr().to_string();
    let config = |balance: &str| {
        let to = [addr(&a), addr(&b)];
        format!("listen = '127.0.0.1:0'\nadmin = '{admin}'\nto = {to:?}\nbalance = '{balance}'\n")
    };
    let files = Files::new(&config("p2c"));
    let (gateway, mut events) = started(&files, &[]).await;
    let mut open = gateway.connect().await;
    let answer = say(&mut open, "hello").await?;
    let (drained, other) = match answer.starts_with('a') {
        true => (addr(&a), "b hello"),
        false => (addr(&b), "a hello"),
    };
    let page = Page::at(&admin).header(WRITE);
    let path = format!("/upstreams/127.0.0.1%3A0/{}", drained.replace(':', "%3A"));
    assert_eq!(page.post(&format!("{path}/drain"), Value::Null).await, 200);
    // The second of these reloads makes another set.
    for balance in ["p2c", "hash", "hash"] {
        for _ in 0..10 {
            assert_eq!(ask(&gateway.addr).await?, other);
        }
        reload(&files, &gateway, &mut events, &config(balance)).await;
    }
    assert_eq!(say(&mut open, "hello").await?, answer);
    let shown = page.get("/upstreams").await.1;
    let mut shown = shown.as_array().unwrap().iter();
    let shown = shown.find(|upstream| upstream["name"] == drained).unwrap();
    assert_eq!(shown["state"], "drained");
    assert_eq!(page.post(&format!("{path}/resume"), Value::Null).await, 200);
    reload(&files, &gateway, &mut events, &config("p2c")).await;
    in_time(async { while ask(&gateway.addr).await.unwrap() == other {} }).await;
    Ok(())
}

#[tokio::test]
async fn a_client_above_the_limits_of_all_upstreams_waits_for_one() -> Result<(), BoxError> {
    let (a, b) = (named_upstream("a").await, named_upstream("b").await);
    let port = Port::new();
    let (page, other) = (port.addr().to_string(), addr(&b));
    let args = ["--to", &other, "--per-upstream", "1", "--admin", &page];
    let gateway = gateway(&addr(&a), &args).await;
    let (mut first, mut second) = (gateway.connect().await, gateway.connect().await);
    let mut answers = [
        say(&mut first, "hello").await?,
        say(&mut second, "hello").await?,
    ];
    answers.sort();
    assert_eq!(answers, ["a hello", "b hello"]);
    let mut third = gateway.connect().await;
    third.write_all(b"hello\n").await?;
    assert!(
        timeout(Duration::from_millis(300), third.read_u8())
            .await
            .is_err()
    );
    let shown = Page::at(&page).get("/upstreams").await.1;
    let mut open = 0;
    for upstream in shown.as_array().unwrap() {
        assert_eq!(upstream["set"], "127.0.0.1:0");
        assert_eq!(upstream["state"], "up");
        open += upstream["open"].as_u64().unwrap();
    }
    assert_eq!(open, 2);
    drop(first);
    let mut rest = String::new();
    let mut third = BufReader::new(third);
    in_time(third.read_line(&mut rest)).await?;
    assert!(rest.ends_with(" hello\n"), "{rest}");
    Ok(())
}

/// A client that has only finished sending may still expect an answer.
#[tokio::test]
async fn a_client_that_resets_leaves_the_queue_and_one_that_ends_stays() -> Result<(), BoxError> {
    let (a, port) = (named_upstream("a").await, Port::new());
    let page = port.addr().to_string();
    let gateway = gateway(&addr(&a), &["--per-upstream", "1", "--admin", &page]).await;
    let mut first = gateway.connect().await;
    assert_eq!(say(&mut first, "hello").await?, "a hello");
    let (mut ended, reset) = (gateway.connect().await, gateway.connect().await);
    ended.write_all(b"hello\n").await?;
    ended.shutdown().await?;
    let page = Page::at(&page);
    let until_open = async |count: usize| {
        while page.get("/connections").await.1.as_array().unwrap().len() != count {
            sleep(Duration::from_millis(20)).await;
        }
    };
    in_time(until_open(3)).await;
    SockRef::from(&reset).set_linger(Some(Duration::ZERO))?;
    drop(reset);
    // Otherwise it would wait for 9 s.
    timeout(Duration::from_secs(7), until_open(2)).await?;
    drop(first);
    assert_eq!(read_all(&mut ended).await?, "a hello\n");
    Ok(())
}

#[tokio::test]
async fn each_address_of_a_name_is_an_upstream() -> Result<(), BoxError> {
    let server = named_upstream("localhost").await;
    let port = server.local_addr().socket_addr().unwrap().port();
    let (own, name) = (Port::new(), format!("localhost:{port}"));
    let page = own.addr().to_string();
    let args = ["--to-each", "1", "--metrics", &page];
    let gateway = gateway(&name, &args).await;
    let resolved = format!("127.0.0.1:{port}");
    until_metric(&page, "gateway_upstream_available", &resolved, 1.0).await;
    // Where the name has an IPv6 address too, nobody listens there.
    for _ in 0..10 {
        assert_eq!(ask(&gateway.addr).await?, "localhost hello");
    }
    until_metric(&page, "gateway_upstream_connections_total", &resolved, 10.0).await;
    Ok(())
}

#[tokio::test]
async fn a_check_of_the_configuration_shows_the_upstreams() {
    let gateway = Command::new(binary("gateway"))
        .args(["--listen", "127.0.0.1:0", "--check", "--balance", "hash"])
        .args([
            "--to",
            "127.0.0.1:1=2",
            "--to",
            "unix:/run/a=b.sock",
            "--health-check",
            "http:/up",
        ])
        .stdin(Stdio::null())
        .output();
    let output = in_time(gateway).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let line =
        "  relay: to 127.0.0.1:1=2, unix:/run/a=b.sock, by client address, checked by http:/up\n";
    assert!(text.contains(line), "{text}");
}

#[tokio::test]
async fn options_of_upstreams_that_make_no_sense_are_errors() {
    let cases: [(&[&str], &str); 9] = [
        (&["--to-ca", "x"], "--to-ca requires --to-tls"),
        (&["--to-crl", "x"], "--to-crl requires --to-tls"),
        (&["--to-name", "x"], "--to-name requires --to-tls"),
        (
            &["--health-check", "tls"],
            "the check tls of --health-check requires --to-tls",
        ),
        (
            &["--health-check", "http:x"],
            "expected tcp, tls or http:PATH",
        ),
        (&["--to", "127.0.0.1:1"], "127.0.0.1:1 is in --to twice"),
        (&["--to", "127.0.0.1:2=1000001"], "expected at most 1000000"),
        (
            &["--to-each", "30", "--to-tls"],
            "--to-each with --to-tls requires --to-name",
        ),
        (
            &["--to-tls", "--to-ca", "/nonexistent.pem"],
            "/nonexistent.pem",
        ),
    ];
    for (args, problem) in cases {
        let gateway = Command::new(binary("gateway"))
            .args(["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--check"])
            .args(args)
            .output();
        let output = in_time(gateway).await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && errors.contains(problem),
            "{args:?}: {errors}"
        );
    }
}
