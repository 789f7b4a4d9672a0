//! A process that runs out of descriptors keeps its clients, closes those it cannot serve, and
//! recovers.

use crate::{
    descriptors::limited,
    support::{LONG, connect_to, echo, echoes, until},
};
use reagent::{Addr, DrainReport, Observer, Server, event, handle};
use std::{
    io::{self, Write},
    net::SocketAddr,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Child,
    task::JoinSet,
    time::timeout,
};

/// Set in the server process, to its number of acceptors.
const CHILD: &str = "REAGENT_EXHAUSTION_CHILD";

/// The descriptor limit of the server: a few are for the process, the rest for connections.
const DESCRIPTORS: usize = 64;

/// Reports events to the parent, one per line, on standard error. Standard output has the output of
/// the test harness.
struct Tell;

fn tell(line: &str) {
    // If the parent is gone, closing the standard input ends this process.
    let _ = writeln!(io::stderr(), "{line}");
}

impl Observer for Tell {
    fn accept_failed(&self, event: &event::AcceptFailed<'_>) {
        tell(&format!("accept failed: {:?}", event.class));
    }

    fn exhausted(&self, event: &event::Exhausted<'_>) {
        tell(&format!("exhausted: {}", event.error));
    }

    fn exhaustion_ended(&self, event: &event::ExhaustionEnded) {
        tell(&format!(
            "ended: {} {}",
            event.lasted.as_secs(),
            event.turned_away
        ));
    }

    fn drain_ended(&self, report: &DrainReport) {
        tell(&format!("drained: {} left", report.remaining));
    }
}

#[tokio::test]
#[ignore = "it is the server, and runs in its own process"]
async fn child() {
    let Ok(acceptors) = std::env::var(CHILD) else {
        return;
    };
    let server = Server::bind("127.0.0.1:0")
        .acceptors(acceptors.parse().unwrap())
        .observe(Tell)
        .start(handle(echo))
        .await
        .unwrap();
    tell(&format!("listening on {}", server.local_addr()));
    let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
    let stats = server.stats();
    tell(&format!("turned away: {}", stats.turned_away));
    server.drain(LONG).await;
}

/// A server in a process with few descriptors.
struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    addr: Addr,
    _reader: JoinSet<()>,
}

impl Process {
    async fn start(acceptors: usize) -> Self {
        let mut child = limited(DESCRIPTORS, std::env::current_exe().unwrap())
            .args(["--exact", "exhaustion::child", "--ignored", "--nocapture"])
            .env(CHILD, acceptors.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = timeout(LONG, told.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let addr: SocketAddr = first
            .strip_prefix("listening on ")
            .unwrap()
            .parse()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let mut reader = JoinSet::new();
        reader.spawn(async move {
            while let Ok(Some(line)) = told.next_line().await {
                kept.lock().unwrap().push(line);
            }
        });
        Process {
            child,
            lines,
            addr: addr.into(),
            _reader: reader,
        }
    }

    fn told(&self, start: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .filter_map(|line| line.strip_prefix(start))
            .map(str::to_owned)
            .collect()
    }

    /// Drains the server, and waits for its end.
    async fn end(&mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        timeout(LONG, self.child.wait()).await.unwrap().unwrap()
    }
}

/// Sends a byte. Returns the client if the byte comes back, or `None` if the connection is closed.
/// Panics on a timeout.
async fn visit(addr: Addr) -> Option<TcpStream> {
    let mut client = connect_to(&addr).await;
    let mut byte = [0];
    let exchange = async {
        client.write_all(b"?").await?;
        client.read(&mut byte).await
    };
    let answer = timeout(LONG, exchange).await.expect("an answer");
    matches!(answer, Ok(1)).then_some(client)
}

#[tokio::test]
async fn a_server_without_descriptors_answers_and_recovers() {
    without_descriptors(1).await;
}

#[tokio::test]
async fn several_acceptors_without_descriptors_answer_and_recover_as_one() {
    without_descriptors(3).await;
}

async fn without_descriptors(acceptors: usize) {
    let mut process = Process::start(acceptors).await;
    let mut open = Vec::new();
    while let Some(client) = visit(process.addr.clone()).await {
        open.push(client);
        assert!(
            open.len() < 64,
            "there are not enough descriptors for these"
        );
    }
    assert!(open.len() > 30, "{} served", open.len());

    // New clients are not served, but are closed instead of being left waiting.
    let more: JoinSet<_> = (0..20).map(|_| visit(process.addr.clone())).collect();
    assert!(more.join_all().await.iter().all(Option::is_none));
    for client in &mut open {
        assert!(echoes(client, "still here").await);
    }
    // An empty queue is not a sign of recovery.
    let failed = || process.told("accept failed").len();
    let before = failed();
    until("it tries again", || {
        failed() >= before + 2 || !process.told("ended").is_empty()
    })
    .await;
    assert_eq!(
        (process.told("exhausted").len(), process.told("ended").len()),
        (1, 0)
    );

    open.truncate(open.len() - 10);
    until("it recovers", || !process.told("ended").is_empty()).await;
    for _ in 0..5 {
        open.push(visit(process.addr.clone()).await.expect("to be served"));
    }
    for client in &mut open {
        assert!(echoes(client, "still here").await);
    }

    drop(open);
    assert!(process.end().await.success());
    until("it has drained", || !process.told("drained").is_empty()).await;
    assert_eq!(process.told("drained: "), ["0 left"]);
    assert_eq!(process.told("turned away: "), ["21"]);
    assert_eq!(process.told("exhausted").len(), 1);
    let ended = process.told("ended: ");
    let [ended] = &ended[..] else {
        panic!("{ended:?}")
    };
    let (seconds, turned_away) = ended.split_once(' ').unwrap();
    assert_eq!(turned_away, "21");
    // Each acceptor makes eight attempts in about the first second, and one per second after that.
    let attempts = process.told("accept failed: Exhaustion").len();
    assert!(
        attempts <= acceptors * (10 + seconds.parse::<usize>().unwrap()),
        "{attempts} in {seconds} s"
    );
}
