//! Servers with few descriptors and many clients.

use crate::{
    descriptors::limited,
    gateway::metric,
    program::{Example, binary},
    support::{LONG, soon, until},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Barrier,
    task::JoinSet,
    time::timeout,
};

const DESCRIPTORS: usize = 200;
const IDLE: usize = 150;
const NEW: usize = 80;

/// Starts an example with 200 descriptors.
async fn start(name: &str, args: &[&str]) -> Example {
    let mut command = limited(DESCRIPTORS, binary(name));
    command.args(["--listen", "127.0.0.1:0"]).args(args);
    command.env("RUST_LOG", "off");
    Example::start_with(name, &mut command).await
}

/// Sends a request on a connection that is kept, and returns the client if it was answered.
async fn get(addr: String) -> Option<TcpStream> {
    let exchange = async {
        let mut client = TcpStream::connect(addr).await.ok()?;
        let request = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";
        client.write_all(request).await.ok()?;
        let mut head = [0; 12];
        client.read_exact(&mut head).await.ok()?;
        (&head == b"HTTP/1.1 200").then_some(client)
    };
    timeout(LONG, exchange).await.expect("an answer or an end")
}

/// Returns whether the server has closed the connection in order, after the rest of the answer.
fn is_closed(client: &TcpStream) -> bool {
    let mut buf = [0; 1024];
    loop {
        match client.try_read(&mut buf) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
            Err(error) => panic!("not closed in order: {error}"),
        }
    }
}

/// Lets 150 clients become idle, and then 80 others come, 20 at a time. Returns both.
async fn crowd(example: &Example) -> (Vec<TcpStream>, Vec<Option<TcpStream>>) {
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(get(example.addr.clone()).await.expect("an answer"));
    }
    // Activity is known to the second, and a client is idle after two.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut new = Vec::new();
    for _ in 0..NEW / 20 {
        let twenty = (0..20).map(|_| get(example.addr.clone()));
        new.extend(twenty.collect::<JoinSet<_>>().join_all().await);
    }
    (idle, new)
}

#[tokio::test]
async fn under_pressure_idle_clients_make_room_and_no_new_one_is_refused() {
    let example = start("http", &["--pressure"]).await;
    // Long requests keep their connections.
    let mut busy = Vec::new();
    for _ in 0..5 {
        let mut client = example.connect().await;
        let request = "GET /slow?ms=6000 HTTP/1.1\r\nhost: here\r\n\r\n";
        client.write_all(request.as_bytes()).await.unwrap();
        busy.push(client);
    }
    let (idle, new) = crowd(&example).await;
    let served = new.iter().flatten().count();
    assert_eq!(served, NEW, "of {NEW} new clients");
    let closed = || idle.iter().filter(|client| is_closed(client)).count();
    until("as many idle clients have gone", || {
        closed() >= IDLE + NEW - DESCRIPTORS
    })
    .await;
    assert!(new.iter().flatten().all(|client| !is_closed(client)));
    for mut client in busy {
        let mut head = [0; 12];
        let read = timeout(LONG, client.read_exact(&mut head)).await;
        read.expect("in time").unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
    }
    drop((idle, new));
    example.stop("TERM").await;
}

/// What the flag is for.
#[tokio::test]
async fn without_the_flag_new_clients_are_refused() {
    let example = start("http", &[]).await;
    let (idle, new) = crowd(&example).await;
    let refused = new.iter().filter(|client| client.is_none()).count();
    assert!(refused >= 30, "{refused} of {NEW}");
    assert!(idle.iter().all(|client| !is_closed(client)));
}

/// When a client that was served leaves.
#[derive(Clone, Copy)]
enum Leaves {
    /// After a moment, so that others get its descriptors.
    Soon,
    /// Once every client was served or refused, so that none gets its descriptors.
    Last,
}

/// Sends 110 clients at once through a gateway, each of which needs two descriptors. Returns the
/// number of those that were served.
async fn through_gateway(args: &[&str], leaves: Leaves) -> usize {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = upstream.local_addr().unwrap().to_string();
    let echo = async {
        let mut open = JoinSet::new();
        while let Ok((mut conn, _)) = upstream.accept().await {
            open.spawn(async move {
                let (mut reader, mut writer) = conn.split();
                tokio::io::copy(&mut reader, &mut writer).await
            });
        }
    };
    let options = ["--to", &to, "--metrics", "127.0.0.1:0"];
    let mut gateway = start("gateway", &[&options, args].concat()).await;
    let line = gateway.line().await;
    let page = line.strip_prefix("metrics on ").expect(&line);
    if args.contains(&"--pressure") {
        // Before the first sample, clients are accepted whatever descriptors there are.
        let is_sampled = async {
            while metric(page, "reagent_pressure_ratio").await.is_none() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon(is_sampled).await;
    }
    let all = Arc::new(Barrier::new(110));
    let client = |addr: String| {
        let all = all.clone();
        async move {
            let exchange = async {
                let mut client = TcpStream::connect(addr).await?;
                client.write_u8(7).await?;
                std::io::Result::Ok((client.read_u8().await?, client))
            };
            let answer = timeout(LONG, exchange).await;
            match leaves {
                Leaves::Soon => tokio::time::sleep(Duration::from_millis(500)).await,
                Leaves::Last => {
                    all.wait().await;
                }
            }
            matches!(answer, Ok(Ok((7, _))))
        }
    };
    let clients = (0..110).map(|_| client(gateway.addr.clone()));
    let served = clients.collect::<JoinSet<_>>().join_all();
    tokio::select! {
        served = served => served.into_iter().filter(|served| *served).count(),
        () = echo => unreachable!("the upstream accepts for ever"),
    }
}

#[tokio::test]
async fn a_gateway_under_pressure_lets_clients_wait_for_descriptors() {
    assert_eq!(through_gateway(&["--pressure"], Leaves::Soon).await, 110);
    let without = through_gateway(&[], Leaves::Last).await;
    assert!(without < 110, "{without} of 110");
}
