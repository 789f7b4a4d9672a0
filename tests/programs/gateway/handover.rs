//! `--handover`: a second gateway takes over from the first.

use super::{
    admin::{Page, WRITE},
    config::Files,
    in_time, named_upstream, say,
    tls::s_client,
};
use crate::{
    descriptors::limited,
    port::Port,
    program::{Example, binary},
};
use reagent::BoxError;
use serde_json::json;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::Command,
    task::JoinSet,
};

/// A command line that can be started several times.
pub struct Gateways {
    pub files: Files,
    pub args: Vec<String>,
    _port: Port,
}

impl Gateways {
    /// Chooses a port, and a folder for the path of the hand-over.
    pub async fn new(to: &str, args: &[&str]) -> Self {
        let files = Files::new("");
        files.certify("localhost");
        let port = Port::new();
        let listen = port.addr().to_string();
        let path = files.path("handover.sock");
        let args = [
            &["--listen", &listen, "--to", to, "--handover", &path],
            args,
        ]
        .concat();
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Gateways {
            files,
            args,
            _port: port,
        }
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(binary("gateway"));
        command.args(["--threads", "1"]).args(&self.args);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command.kill_on_drop(true);
        command
    }

    pub async fn start(&self) -> Example {
        Example::start_with("gateway", &mut self.command()).await
    }
}

#[tokio::test]
async fn a_successor_takes_over_the_addresses_and_the_open_connections_stay() -> Result<(), BoxError>
{
    let upstream = named_upstream("a").await;
    let to = upstream.local_addr().to_string();
    let pages = ["--metrics", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let gateways = Gateways::new(&to, &[&pages[..], &["--drain", "1000"]].concat()).await;
    let mut first = gateways.start().await;
    let pages = [first.line().await, first.line().await];
    let mode = fs::metadata(gateways.files.path("handover.sock"))?
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut old = first.connect().await;
    assert_eq!(say(&mut old, "hello").await?, "a hello");

    let mut second = gateways.start().await;
    assert_eq!(second.addr, first.addr);
    assert_eq!(
        [second.line().await, second.line().await],
        pages,
        "they are taken over too"
    );
    assert_eq!(say(&mut old, "hello").await?, "a hello");
    let mut new = second.connect().await;
    assert_eq!(say(&mut new, "hello").await?, "a hello");
    // The first gateway exits when its client has left.
    old.shutdown().await?;
    first.ended().await;
    assert_eq!(say(&mut new, "hello").await?, "a hello");
    assert!(fs::exists(gateways.files.path("handover.sock"))?);
    drop(new);
    second.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn tls_sessions_are_resumed_by_a_successor() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let to = upstream.local_addr().to_string();
    let mut gateways = Gateways::new(&to, &[]).await;
    let (cert, key) = (
        gateways.files.path("cert.pem"),
        gateways.files.path("key.pem"),
    );
    let tls = ["--tls-cert", &cert, "--tls-key", &key].map(str::to_owned);
    gateways.args.extend(tls);
    let first = gateways.start().await;
    let session = gateways.files.path("session");
    let args = ["-tls1_3", "-servername", "localhost"];
    let began = [&args[..], &["-sess_out", &session]].concat();
    let Some(said) = s_client(&first.addr, &began, "hello\n").await else {
        return Ok(());
    };
    assert!(said.contains("a hello"), "{said}");
    // A successor whose certificate cannot be used changes nothing.
    let good = fs::read(&cert)?;
    gateways.files.write("cert.pem", "junk");
    let failed = in_time(gateways.command().stderr(Stdio::piped()).output()).await?;
    let reason = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(
        !failed.status.success() && reason.contains(&cert),
        "{reason}"
    );
    let said = s_client(&first.addr, &args, "hello\n").await.unwrap();
    assert!(said.contains("a hello"), "{said}");
    fs::write(&cert, good)?;

    let second = gateways.start().await;
    first.ended().await;
    let resumed = [&args[..], &["-sess_in", &session]].concat();
    let said = s_client(&second.addr, &resumed, "hello\n").await.unwrap();
    assert!(
        said.contains("a hello") && said.contains("Reused, TLSv1.3"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn a_successor_knows_who_is_banned() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let to = upstream.local_addr().to_string();
    let gateways = Gateways::new(&to, &["--admin", "127.0.0.1:0"]).await;
    let mut first = gateways.start().await;
    let page = Page::of(&mut first).await.header(WRITE);
    let ban = json!({"client": "127.0.0.1", "seconds": 600});
    assert_eq!(page.post("/bans", ban).await / 100, 2);
    let second = gateways.start().await;
    first.ended().await;
    assert!(say(&mut second.connect().await, "hello").await.is_err());
    assert_eq!(page.get("/bans").await.1[0]["client"], "127.0.0.1");
    Ok(())
}

#[tokio::test]
async fn a_successor_that_cannot_start_changes_nothing() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let gateways = Gateways::new(&upstream.local_addr().to_string(), &[]).await;
    let first = gateways.start().await;
    let taken = TcpListener::bind("127.0.0.1:0").await?;
    let taken = taken.local_addr()?.to_string();
    for args in [
        &["--tls-cert", "/x", "--tls-key", "/x"][..],
        &["--listen", &taken],
    ] {
        let output = gateways.command().args(args).output();
        assert!(!in_time(output).await?.status.success(), "{args:?}");
        let mut client = TcpStream::connect(&first.addr).await?;
        assert_eq!(say(&mut client, "hello").await?, "a hello");
    }
    first.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn a_successor_with_few_descriptors_takes_over_only_if_it_can_serve() -> Result<(), BoxError>
{
    let upstream = named_upstream("a").await;
    let to = upstream.local_addr().to_string();
    let gateways = Gateways::new(&to, &["--listen", "127.0.0.1:0"]).await;
    let mut current = gateways.start().await;
    let (mut refused, mut served) = (0, 0);
    for descriptors in 8..60 {
        let mut command = limited(descriptors, binary("gateway"));
        command.args(["--threads", "1"]);
        command.args(&gateways.args).stdin(Stdio::null());
        let mut successor = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut line = String::new();
        let stdout = successor.stdout.take().unwrap();
        in_time(BufReader::new(stdout).read_line(&mut line)).await?;
        let mut client = TcpStream::connect(&current.addr).await?;
        assert_eq!(say(&mut client, "hello").await?, "a hello", "{descriptors}");
        drop(client);
        if line.is_empty() {
            assert!(!in_time(successor.wait()).await?.success(), "{descriptors}");
            refused += 1;
        } else {
            served += 1;
            current.ended().await;
            current = gateways.start().await;
            assert!(in_time(successor.wait()).await?.success(), "{descriptors}");
        }
    }
    assert!(refused > 0 && served > 0, "{refused} and {served}");
    current.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn the_pages_are_served_and_healthy_throughout_a_succession() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let to = upstream.local_addr().to_string();
    let pages = ["--admin", "127.0.0.1:0", "--metrics", "127.0.0.1:0"];
    let gateways = Gateways::new(&to, &pages).await;
    let mut current = gateways.start().await;
    let metrics = Page::of(&mut current).await;
    let page = Page::of(&mut current).await;
    let done = Arc::new(AtomicBool::new(false));
    let is_done = done.clone();
    let mut asking = JoinSet::new();
    asking.spawn(async move {
        let mut answers = 0;
        while !is_done.load(Relaxed) {
            // It panics if the connection is refused or reset.
            for path in ["/live", "/ready", "/stats"] {
                let (status, answer) = page.get(path).await;
                assert_eq!(status, 200, "{path}: {answer}");
            }
            for path in ["/live", "/ready"] {
                assert_eq!(metrics.get(path).await.0, 200, "{path}");
            }
            answers += 1;
        }
        answers
    });
    for _ in 0..5 {
        let next = gateways.start().await;
        current.ended().await;
        current = next;
    }
    done.store(true, Relaxed);
    assert!(in_time(asking.join_all()).await[0] > 5);
    Ok(())
}

#[tokio::test]
async fn a_successor_whose_page_cannot_be_opened_serves_the_clients() -> Result<(), BoxError> {
    let upstream = named_upstream("a").await;
    let to = upstream.local_addr().to_string();
    let gateways = Gateways::new(&to, &[]).await;
    let taken = TcpListener::bind("127.0.0.1:0").await?;
    let taken = taken.local_addr()?.to_string();
    // Without a predecessor, it does not start.
    let mut command = gateways.command();
    let output = in_time(command.args(["--admin", &taken]).output()).await?;
    assert!(!output.status.success());

    let first = gateways.start().await;
    let mut command = gateways.command();
    command.args(["--admin", &taken]).stderr(Stdio::piped());
    let mut second = Example::start_with("gateway", &mut command).await;
    first.ended().await;
    let stderr = second.process.stderr.take().unwrap();
    let mut events = super::Events(BufReader::new(stderr).lines());
    events.with("the pages are not served").await;
    let mut client = second.connect().await;
    assert_eq!(say(&mut client, "hello").await?, "a hello");
    Ok(())
}

fn descriptors(program: &Example) -> usize {
    let pid = program.process.id().unwrap();
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count()
}

#[tokio::test]
async fn a_gateway_without_descriptors_can_be_replaced() -> Result<(), BoxError> {
    // The next client cannot be accepted, or it can be, but its upstream
    // cannot be connected: which of them depends on the limit's parity.
    for limit in [60, 61] {
        let upstream = named_upstream("a").await;
        let gateways = Gateways::new(&upstream.local_addr().to_string(), &[]).await;
        let mut command = limited(limit, binary("gateway"));
        command.args(["--threads", "1"]);
        command
            .args(&gateways.args)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let poor = Example::start_with("gateway", command.kill_on_drop(true)).await;
        let mut clients = Vec::new();
        while descriptors(&poor) + 2 <= limit {
            let mut client = TcpStream::connect(&poor.addr).await?;
            assert_eq!(say(&mut client, "hello").await?, "a hello");
            clients.push(client);
        }
        assert!(clients.len() > 10, "{}", clients.len());
        let _unserved = TcpStream::connect(&poor.addr).await?;

        let next = gateways.start().await;
        let mut client = TcpStream::connect(&next.addr).await?;
        assert_eq!(say(&mut client, "hello").await?, "a hello");
        for client in &mut clients {
            assert_eq!(say(client, "still there").await?, "a still there");
        }
        drop(clients);
        poor.ended().await;
        next.stop("TERM").await;
    }
    Ok(())
}
