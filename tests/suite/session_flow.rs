//! Output waits for a slow client, while the session still handles other events.

use crate::support::{Log, memory_server, rest, settled, soon};
use reagent::{
    BoxError, Connection, ConnectionHandle, Outcome, ServerHandle, Session, session,
    session::{Context, Mailbox},
    testing::Clients,
};
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context as TaskContext, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::Instant,
};
use tower::{Layer, Service};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The capacity of an in-memory stream.
const PIPE: usize = 64 * 1024;

/// Sends the number of bytes in each message.
#[derive(Clone, Default)]
struct Sender {
    log: Log,
    flushes: bool,
}

impl Session for Sender {
    type Message = usize;

    async fn on_data(&mut self, _: &mut Context<'_, usize>, _: &[u8]) -> Result<(), BoxError> {
        self.log.add("data".to_owned());
        Ok(())
    }

    async fn on_message(
        &mut self,
        cx: &mut Context<'_, usize>,
        bytes: usize,
    ) -> Result<(), BoxError> {
        self.log.add("message".to_owned());
        cx.send(vec![b'x'; bytes]);
        if self.flushes {
            cx.flush().await?;
        }
        Ok(())
    }

    async fn on_drain(&mut self, cx: &mut Context<'_, usize>) -> Result<(), BoxError> {
        self.log.add("drain".to_owned());
        cx.send("goodbye");
        cx.close();
        Ok(())
    }

    fn on_close(&mut self, outcome: &Outcome) {
        self.log.add(format!("close {outcome}"));
    }
}

struct Flow {
    client: DuplexStream,
    connection: ConnectionHandle,
    mailbox: Mailbox<usize>,
    log: Log,
    _server: ServerHandle,
    _clients: Clients,
}

async fn flow(flushes: bool) -> Flow {
    let log = Log::default();
    let sender = Sender {
        log: log.clone(),
        flushes,
    };
    let (server, clients, mut accepted) = memory_server();
    let server = server
        .start(session(move || sender.clone()).read_timeout(None))
        .await
        .unwrap();
    let client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    settled().await;
    Flow {
        client,
        mailbox: connection.mailbox().unwrap(),
        connection,
        log,
        _server: server,
        _clients: clients,
    }
}

/// Reads this much every 29 s until the session ends, at most `times` times.
async fn take(flow: &mut Flow, bytes: usize, times: usize) {
    let mut buf = vec![0; bytes];
    for _ in 0..times {
        tokio::time::sleep(seconds(29)).await;
        if flow.connection.outcome().is_some() {
            return;
        }
        soon(flow.client.read_exact(&mut buf)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_a_byte_now_and_then_is_timed_out() {
    for flushes in [false, true] {
        let mut flow = flow(flushes).await;
        flow.mailbox.send(PIPE + 1024 * 1024).await.unwrap();
        let began = Instant::now();
        take(&mut flow, 1, 1000).await;
        assert_eq!(
            flow.connection.closed().await.to_string(),
            "timed out: write"
        );
        assert!(began.elapsed() < seconds(60), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_has_the_time_once_for_each_64_kib() {
    for flushes in [false, true] {
        let mut flow = flow(flushes).await;
        flow.mailbox.send(PIPE + 640 * 1024).await.unwrap();
        take(&mut flow, 64 * 1024, 10).await;
        assert!(flow.connection.outcome().is_none());
        take(&mut flow, 64 * 1024, 1).await;
        // All output has been read, so the timeout is not running.
        tokio::time::sleep(seconds(1000)).await;
        assert!(flow.connection.outcome().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_heard_while_a_client_takes_its_time() {
    let mut flow = flow(false).await;
    flow.mailbox.send(PIPE + 1024).await.unwrap();
    settled().await;
    flow.connection.drain();
    settled().await;
    assert_eq!(flow.log.count("drain"), 1);
    let got = rest(&mut flow.client).await.unwrap();
    assert_eq!(got.len(), PIPE + 1024 + "goodbye".len());
    assert!(got.ends_with(b"xgoodbye"));
    drop(flow.client);
    assert_eq!(soon(flow.connection.closed()).await.to_string(), "drained");
}

#[tokio::test(start_paused = true)]
async fn messages_are_taken_while_a_client_takes_its_time_until_64_kib_wait() {
    let mut flow = flow(false).await;
    flow.mailbox.send(PIPE + 1024).await.unwrap();
    settled().await;
    flow.client.write_all(b"not read").await.unwrap();
    for _ in 0..100 {
        let _ = flow.mailbox.try_send(8 * 1024);
        settled().await;
    }
    // The first message, and those that fit into the buffer.
    assert_eq!(flow.log.count("message"), 1 + 8);
    assert_eq!(
        (flow.log.count("data"), flow.connection.bytes_read()),
        (0, 0)
    );
    // The others waited in the mailbox.
    let mut all = vec![0; PIPE + 1024 + (8 + 64) * 8 * 1024];
    soon(flow.client.read_exact(&mut all)).await.unwrap();
    settled().await;
    assert_eq!(
        (flow.log.count("message"), flow.log.count("data")),
        (1 + 8 + 64, 1)
    );
}

/// Counts the polls of a connection's future.
#[derive(Clone)]
struct CountPolls<S>(S, Arc<AtomicUsize>);

struct Counted<F>(Pin<Box<F>>, Arc<AtomicUsize>);

impl<S: Service<Connection>> Service<Connection> for CountPolls<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Counted<S::Future>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, conn: Connection) -> Self::Future {
        Counted(Box::pin(self.0.call(conn)), self.1.clone())
    }
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<F::Output> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.as_mut().poll(cx)
    }
}

struct CountPollsLayer(Arc<AtomicUsize>);

impl<S> Layer<S> for CountPollsLayer {
    type Service = CountPolls<S>;

    fn layer(&self, inner: S) -> CountPolls<S> {
        CountPolls(inner, self.0.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_waits_is_not_woken_for_nothing() {
    let polls = Arc::new(AtomicUsize::new(0));
    let (server, clients, _accepted) = memory_server();
    let _server = server
        .layer(CountPollsLayer(polls.clone()))
        .start(session(Sender::default))
        .await
        .unwrap();
    // Half-way between two ticks of the timer, because a tick would hide a timer that is set for
    // the present.
    tokio::time::advance(Duration::from_micros(1500)).await;
    let mut client = clients.connect().await.unwrap();
    tokio::time::sleep(seconds(59)).await;
    assert_eq!(polls.load(Ordering::Relaxed), 1);
    // From then on, the timer is moved only when it fires too early.
    client.write_u8(0).await.unwrap();
    tokio::time::sleep(seconds(59)).await;
    assert_eq!(polls.load(Ordering::Relaxed), 3);
}
