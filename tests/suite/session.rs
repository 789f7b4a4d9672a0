//! Sessions: callbacks, messages and timeouts.

use crate::support::{
    Log, StreamListener, beside, connect, echo, memory_server, rest, settled, soon, tcp_server,
    until,
};
use reagent::{
    BoxError, Connection, Disconnect, Outcome, Server, ServerHandle, Session, Transport, handle,
    session,
    session::{Context, Mailbox, SendError, SessionService, TrySendError},
    testing::Clients,
};
use std::{
    io,
    pin::Pin,
    task::{self, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf},
    sync::oneshot,
    time::Instant,
};

/// A command from a test to a [`Probe`].
enum Do {
    Say(&'static str),
    /// Sends this many bytes.
    SayMuch(usize),
    /// Sends this, and flushes it before waiting.
    SayNow(&'static str, oneshot::Receiver<()>),
    /// Sends this, and waits before it is flushed.
    SayAndWait(&'static str, oneshot::Receiver<()>),
    Wait(Duration),
    ReadTimeout(Option<Duration>),
    NextReadTimeout(Duration),
    Fail,
    Close,
}

/// Records every callback, and stays open where its test requires it.
#[derive(Clone, Default)]
struct Probe {
    log: Log,
    stays_silent: bool,
    stays_after_eof: bool,
    stays_in_drain: bool,
    fails_to_connect: bool,
}

impl Session for Probe {
    type Message = Do;

    async fn on_connect(&mut self, _: &mut Context<'_, Do>) -> Result<(), BoxError> {
        self.log.add("connect".to_owned());
        if self.fails_to_connect {
            return Err("not today".into());
        }
        Ok(())
    }

    async fn on_data(&mut self, cx: &mut Context<'_, Do>, data: &[u8]) -> Result<(), BoxError> {
        self.log
            .add(format!("data {}", String::from_utf8_lossy(data)));
        match data {
            b"fail" => return Err("asked for it".into()),
            b"panic" => panic!("asked for it"),
            b"close" => cx.close(),
            _ => cx.send(data),
        }
        Ok(())
    }

    async fn on_message(&mut self, cx: &mut Context<'_, Do>, message: Do) -> Result<(), BoxError> {
        self.log.add("message".to_owned());
        match message {
            Do::Say(text) => cx.send(text),
            Do::SayMuch(bytes) => cx.send(vec![b'x'; bytes]),
            Do::SayNow(text, go_on) => {
                cx.send(text);
                cx.flush().await?;
                let _ = go_on.await;
            }
            Do::SayAndWait(text, go_on) => {
                cx.send(text);
                cx.send("!");
                let _ = go_on.await;
            }
            Do::Wait(time) => tokio::time::sleep(time).await,
            Do::ReadTimeout(timeout) => cx.set_read_timeout(timeout),
            Do::NextReadTimeout(timeout) => cx.set_next_read_timeout(timeout),
            Do::Fail => return Err("asked for it".into()),
            Do::Close => cx.close(),
        }
        Ok(())
    }

    async fn on_timeout(&mut self, _: &mut Context<'_, Do>) -> Result<(), BoxError> {
        self.log.add("timeout".to_owned());
        match self.stays_silent {
            true => Ok(()),
            false => Err(reagent::TimedOut::new("read").into()),
        }
    }

    async fn on_eof(&mut self, cx: &mut Context<'_, Do>) -> Result<(), BoxError> {
        self.log.add("eof".to_owned());
        if !self.stays_after_eof {
            cx.send("bye");
            cx.close();
        }
        Ok(())
    }

    async fn on_drain(&mut self, cx: &mut Context<'_, Do>) -> Result<(), BoxError> {
        self.log.add("drain".to_owned());
        if !self.stays_in_drain {
            cx.send("goodbye");
            cx.close();
        }
        Ok(())
    }

    fn on_close(&mut self, outcome: &Outcome) {
        self.log.add(format!("close {outcome}"));
    }
}

/// A service of probes.
fn probes(probe: Probe) -> SessionService<impl FnMut() -> Probe + Clone> {
    session(move || probe.clone())
}

/// One session and its client.
struct One {
    server: ServerHandle,
    client: DuplexStream,
    connection: reagent::ConnectionHandle,
    mailbox: Mailbox<Do>,
    log: Log,
    _clients: Clients,
}

async fn one<F: FnMut() -> Probe + Clone + Send + 'static>(
    probe: Probe,
    service: impl FnOnce(Probe) -> SessionService<F>,
) -> One {
    let (server, clients, mut accepted) = memory_server();
    let log = probe.log.clone();
    let server = server.start(service(probe)).await.unwrap();
    let client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    log.wait_for("connect", 1).await;
    let mailbox = server
        .connection(connection.id())
        .unwrap()
        .mailbox()
        .unwrap();
    One {
        server,
        client,
        connection,
        mailbox,
        log,
        _clients: clients,
    }
}

async fn read(client: &mut DuplexStream, len: usize) -> String {
    let mut bytes = vec![0; len];
    soon(client.read_exact(&mut bytes)).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_session_that_writes_only_on_data_does_the_rest_by_default() {
    struct Plain;

    impl Session for Plain {
        type Message = ();

        async fn on_data(&mut self, cx: &mut Context<'_, ()>, data: &[u8]) -> Result<(), BoxError> {
            cx.send(data);
            Ok(())
        }
    }

    let (server, mut accepted) = tcp_server();
    let server = server.start(session(|| Plain)).await.unwrap();
    let mut client = connect(&server).await;
    assert!(crate::support::echoes(&mut client, "hello").await);
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await.unwrap(), b"");
    assert_eq!(accepted.outcome().await.to_string(), "completed");

    let mut client = connect(&server).await;
    let connection = accepted.next().await;
    connection.drain();
    assert_eq!(rest(&mut client).await.unwrap(), b"");
    assert_eq!(soon(connection.closed()).await.to_string(), "drained");
}

#[tokio::test]
async fn callbacks_come_in_their_order() {
    let mut one = one(Probe::default(), probes).await;
    one.client.write_all(b"hello").await.unwrap();
    assert_eq!(read(&mut one.client, 5).await, "hello");
    one.mailbox.send(Do::Say("you")).await.unwrap();
    assert_eq!(read(&mut one.client, 3).await, "you");
    one.client.shutdown().await.unwrap();
    assert_eq!(rest(&mut one.client).await.unwrap(), b"bye");
    assert_eq!(soon(one.connection.closed()).await.to_string(), "completed");
    assert_eq!(
        one.log.events(),
        ["connect", "data hello", "message", "eof", "close completed"]
    );
}

#[tokio::test]
async fn the_last_callback_comes_once_whatever_ends_the_session() {
    for (text, expected) in [
        ("fail", "failed: asked for it"),
        ("panic", "panicked: asked for it"),
        ("close", "completed"),
    ] {
        let mut one = one(Probe::default(), probes).await;
        one.client.write_all(text.as_bytes()).await.unwrap();
        assert_eq!(soon(one.connection.closed()).await.to_string(), expected);
        assert_eq!(
            one.log.events(),
            [
                "connect".to_owned(),
                format!("data {text}"),
                format!("close {expected}")
            ]
        );
        assert_eq!(rest(&mut one.client).await.unwrap(), b"");
    }

    let aborted = one(Probe::default(), probes).await;
    aborted.connection.abort();
    assert_eq!(
        soon(aborted.connection.closed()).await.to_string(),
        "aborted"
    );
    assert_eq!(aborted.log.events(), ["connect", "close aborted"]);

    let (server, clients, mut accepted) = memory_server();
    let probe = Probe {
        fails_to_connect: true,
        ..Probe::default()
    };
    let log = probe.log.clone();
    let _server = server.start(probes(probe)).await.unwrap();
    let _client = clients.connect().await.unwrap();
    assert_eq!(accepted.outcome().await.to_string(), "failed: not today");
    assert_eq!(log.events(), ["connect", "close failed: not today"]);

    let messaged = one(Probe::default(), probes).await;
    messaged.mailbox.send(Do::Fail).await.unwrap();
    assert_eq!(
        soon(messaged.connection.closed()).await.to_string(),
        "failed: asked for it"
    );
    assert_eq!(messaged.log.count("close"), 1);
}

#[tokio::test]
async fn the_last_callback_comes_when_the_client_resets() {
    let (server, mut accepted) = tcp_server();
    let probe = Probe::default();
    let log = probe.log.clone();
    let server = server.start(probes(probe)).await.unwrap();
    let client = connect(&server).await;
    let connection = accepted.next().await;
    log.wait_for("connect", 1).await;
    socket2::SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
    let outcome = soon(connection.closed()).await;
    assert!(
        matches!(outcome, Outcome::Disconnected(Disconnect::Reset)),
        "{outcome}"
    );
    assert_eq!(log.events(), ["connect", "close disconnected: reset"]);
}

#[tokio::test(start_paused = true)]
async fn output_is_written_when_the_callback_returns() {
    let mut one = one(Probe::default(), probes).await;
    let (go_on, gate) = oneshot::channel();
    one.mailbox
        .send(Do::SayAndWait("later", gate))
        .await
        .unwrap();
    settled().await;
    assert_eq!(
        (one.log.count("message"), one.connection.bytes_written()),
        (1, 0)
    );
    go_on.send(()).unwrap();
    assert_eq!(read(&mut one.client, 6).await, "later!");
}

#[tokio::test(start_paused = true)]
async fn a_flush_writes_while_the_callback_goes_on() {
    let mut one = one(Probe::default(), probes).await;
    let (go_on, gate) = oneshot::channel();
    one.mailbox.send(Do::SayNow("now", gate)).await.unwrap();
    assert_eq!(read(&mut one.client, 3).await, "now");
    one.client.write_all(b"more").await.unwrap();
    settled().await;
    assert_eq!(one.log.count("data"), 0);
    go_on.send(()).unwrap();
    assert_eq!(read(&mut one.client, 4).await, "more");
    // Nothing is written twice.
    assert_eq!(one.connection.bytes_written(), 7);
}

#[tokio::test]
async fn others_reach_a_session_by_the_mailbox_it_gave_out() {
    struct Open(Option<oneshot::Sender<Mailbox<u8>>>);

    impl Session for Open {
        type Message = u8;

        async fn on_connect(&mut self, cx: &mut Context<'_, u8>) -> Result<(), BoxError> {
            let _ = self.0.take().expect("once").send(cx.mailbox());
            Ok(())
        }

        async fn on_data(&mut self, _: &mut Context<'_, u8>, _: &[u8]) -> Result<(), BoxError> {
            Ok(())
        }

        async fn on_message(&mut self, cx: &mut Context<'_, u8>, n: u8) -> Result<(), BoxError> {
            assert_eq!(cx.connection().id(), 1);
            cx.send([n]);
            Ok(())
        }
    }

    let (sender, mailbox) = oneshot::channel();
    let sender = std::sync::Arc::new(std::sync::Mutex::new(Some(sender)));
    let (server, clients, _accepted) = memory_server();
    let _server = server
        .start(session(move || Open(sender.lock().unwrap().take())))
        .await
        .unwrap();
    let mut client = clients.connect().await.unwrap();
    let mailbox = soon(mailbox).await.unwrap();
    let senders: Vec<_> = (0..100)
        .map(|n| {
            let mailbox = mailbox.clone();
            beside(async move { mailbox.send(n).await })
        })
        .collect();
    for sender in senders {
        soon(sender).await.unwrap().unwrap();
    }
    let mut got = [0; 100];
    soon(client.read_exact(&mut got)).await.unwrap();
    got.sort_unstable();
    assert!(got.iter().copied().eq(0..100));
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_is_found_by_the_type_of_its_messages() {
    let one = one(Probe::default(), probes).await;
    assert!(one.connection.mailbox::<Do>().is_some());
    assert!(one.connection.mailbox::<String>().is_none());

    let (server, clients, mut accepted) = memory_server();
    let _server = server.start(handle(echo)).await.unwrap();
    let _client = clients.connect().await.unwrap();
    let connection = accepted.next().await;
    settled().await;
    assert!(connection.mailbox::<Do>().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_makes_its_senders_wait() {
    let mut one = one(Probe::default(), |probe| probes(probe).mailbox(1)).await;
    let (go_on, gate) = oneshot::channel();
    one.mailbox
        .send(Do::SayAndWait("first", gate))
        .await
        .unwrap();
    settled().await;
    one.mailbox.try_send(Do::Say("second")).unwrap();
    let full = one.mailbox.try_send(Do::Say("not this"));
    assert!(matches!(full, Err(TrySendError::Full(Do::Say("not this")))));
    let third = beside({
        let mailbox = one.mailbox.clone();
        async move { mailbox.send(Do::Say("third")).await }
    });
    settled().await;
    assert!(!third.is_finished());
    go_on.send(()).unwrap();
    soon(third).await.unwrap().unwrap();
    assert_eq!(read(&mut one.client, 17).await, "first!secondthird");
}

#[tokio::test]
async fn a_message_to_a_session_that_is_over_comes_back() {
    let one = one(Probe::default(), probes).await;
    one.mailbox.send(Do::Close).await.unwrap();
    soon(one.connection.closed()).await;
    let sent = one.mailbox.send(Do::Say("too late")).await;
    assert!(matches!(sent, Err(SendError(Do::Say("too late")))));
    let sent = one.mailbox.try_send(Do::Say("too late"));
    assert!(matches!(
        sent,
        Err(TrySendError::Closed(Do::Say("too late")))
    ));
    assert!(one.mailbox.is_closed());
    assert!(one.connection.mailbox::<Do>().is_none());
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn sleep(time: u64) {
    tokio::time::sleep(seconds(time)).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_timed_out_after_a_minute() {
    struct Plain;

    impl Session for Plain {
        type Message = ();

        async fn on_data(&mut self, _: &mut Context<'_, ()>, _: &[u8]) -> Result<(), BoxError> {
            Ok(())
        }
    }

    let (server, clients, mut accepted) = memory_server();
    let _server = server.start(session(|| Plain)).await.unwrap();
    let began = Instant::now();
    let _client = clients.connect().await.unwrap();
    assert_eq!(
        accepted.next().await.closed().await.to_string(),
        "timed out: read"
    );
    assert!(began.elapsed() >= seconds(60) && began.elapsed() < seconds(61));
}

/// Starts a session whose `on_timeout` is called after every 10 s of silence.
async fn patient() -> One {
    let probe = Probe {
        stays_silent: true,
        stays_after_eof: true,
        ..Probe::default()
    };
    one(probe, |probe| probes(probe).read_timeout(seconds(10))).await
}

#[tokio::test(start_paused = true)]
async fn a_session_that_stays_after_a_timeout_receives_the_next() {
    let one = patient().await;
    sleep(35).await;
    assert_eq!(one.log.count("timeout"), 3);
    assert!(one.connection.outcome().is_none());
}

/// A client whose bytes arrive every 10 s, and are noticed only when something else wakes the task,
/// as after a stall of the machine.
struct Stalled(Instant);

impl AsyncRead for Stalled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.elapsed() < seconds(10) {
            return Poll::Pending;
        }
        self.0 = Instant::now();
        buf.put_slice(b"here");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stalled {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_have_arrived_count_though_the_time_is_over() {
    let (listener, queue) = StreamListener::new();
    let probe = Probe {
        stays_silent: true,
        ..Probe::default()
    };
    let log = probe.log.clone();
    let service = probes(probe).read_timeout(seconds(10));
    let _server = Server::new(listener).start(service).await.unwrap();
    queue.push(Transport::other(Stalled(Instant::now())));
    sleep(205).await;
    assert_eq!((log.count("data"), log.count("timeout")), (20, 0));
}

#[tokio::test(start_paused = true)]
async fn only_bytes_of_the_client_restart_the_timeout() {
    let mut one = patient().await;
    for _ in 0..3 {
        sleep(6).await;
        one.client.write_all(b"here").await.unwrap();
    }
    assert_eq!(one.log.count("timeout"), 0);
    sleep(6).await;
    // Neither does a message, nor output of the session itself.
    one.mailbox.send(Do::Say("hello")).await.unwrap();
    sleep(5).await;
    assert_eq!(one.log.count("timeout"), 1);
}

#[tokio::test(start_paused = true)]
async fn time_in_a_callback_does_not_count_as_silence() {
    let one = patient().await;
    sleep(5).await;
    one.mailbox.send(Do::Wait(seconds(100))).await.unwrap();
    sleep(104).await;
    assert_eq!(one.log.count("timeout"), 0);
    sleep(2).await;
    assert_eq!(one.log.count("timeout"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_can_be_set_for_once_or_for_good() {
    let mut one = patient().await;
    one.mailbox
        .send(Do::NextReadTimeout(seconds(100)))
        .await
        .unwrap();
    sleep(99).await;
    assert_eq!(one.log.count("timeout"), 0);
    sleep(2).await;
    assert_eq!(one.log.count("timeout"), 1);
    // After that, the configured timeout applies again.
    sleep(10).await;
    assert_eq!(one.log.count("timeout"), 2);
    // A timeout set by the session applies only until the client sends something.
    one.client.write_all(b"here").await.unwrap();
    settled().await;
    one.mailbox
        .send(Do::NextReadTimeout(seconds(100)))
        .await
        .unwrap();
    sleep(50).await;
    one.client.write_all(b"here").await.unwrap();
    sleep(11).await;
    assert_eq!(one.log.count("timeout"), 3);

    one.client.write_all(b"here").await.unwrap();
    settled().await;
    one.mailbox
        .send(Do::ReadTimeout(Some(seconds(20))))
        .await
        .unwrap();
    sleep(19).await;
    assert_eq!(one.log.count("timeout"), 3);
    sleep(42).await;
    assert_eq!(one.log.count("timeout"), 6);

    one.mailbox.send(Do::ReadTimeout(None)).await.unwrap();
    sleep(1_000_000).await;
    assert_eq!(one.log.count("timeout"), 6);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_that_is_set_begins_when_it_is_set() {
    let one = patient().await;
    sleep(8).await;
    one.mailbox
        .send(Do::ReadTimeout(Some(seconds(5))))
        .await
        .unwrap();
    sleep(4).await;
    assert_eq!(one.log.count("timeout"), 0);
    sleep(2).await;
    assert_eq!(one.log.count("timeout"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_is_there_as_long_as_its_session() {
    let one = patient().await;
    let connection = one.server.connection(1).unwrap();
    assert!(connection.mailbox::<Do>().is_some());
    assert!(connection.mailbox::<u8>().is_none());
    connection.abort();
    soon(connection.closed()).await;
    assert!(connection.mailbox::<Do>().is_none());
}

#[tokio::test(start_paused = true)]
async fn without_a_timeout_a_client_may_be_silent_for_ever() {
    for limit in [None, Some(Duration::MAX)] {
        let one = one(Probe::default(), |probe| probes(probe).read_timeout(limit)).await;
        sleep(1_000_000).await;
        assert_eq!(one.log.events(), ["connect"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_more_can_still_be_sent_to() {
    let mut one = patient().await;
    one.client.shutdown().await.unwrap();
    sleep(1_000).await;
    // There is no idle timeout after the end of input.
    assert_eq!(one.log.events(), ["connect", "eof"]);
    one.mailbox.send(Do::Say("still there")).await.unwrap();
    one.mailbox.send(Do::Close).await.unwrap();
    assert_eq!(rest(&mut one.client).await.unwrap(), b"still there");
    assert_eq!(one.connection.closed().await.to_string(), "completed");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_timed_out() {
    let mut one = one(Probe::default(), |probe| probes(probe).read_timeout(None)).await;
    one.mailbox.send(Do::SayMuch(1024 * 1024)).await.unwrap();
    // A client that reads 64 KiB in that time is not.
    for _ in 0..10 {
        sleep(29).await;
        read(&mut one.client, 64 * 1024).await;
    }
    assert!(one.connection.outcome().is_none());
    let began = Instant::now();
    assert_eq!(
        one.connection.closed().await.to_string(),
        "timed out: write"
    );
    assert!(began.elapsed() >= seconds(29) && began.elapsed() < seconds(31));
    assert_eq!(one.log.events().last().unwrap(), "close timed out: write");
}

#[tokio::test(start_paused = true)]
async fn while_a_callback_runs_nothing_is_read_and_messages_wait() {
    let one = one(Probe::default(), probes).await;
    let (go_on, gate) = oneshot::channel();
    one.mailbox
        .send(Do::SayAndWait("busy", gate))
        .await
        .unwrap();
    settled().await;
    let (mut reader, mut writer) = tokio::io::split(one.client);
    let writing = beside(async move {
        writer.write_all(&[b'x'; 1024 * 1024]).await.unwrap();
        writer
    });
    one.mailbox.send(Do::Say("waited")).await.unwrap();
    settled().await;
    assert!(!writing.is_finished());
    assert_eq!(
        (one.connection.bytes_read(), one.log.count("message")),
        (0, 1)
    );
    go_on.send(()).unwrap();
    let mut got = vec![0; 1024 * 1024 + "busy!waited".len()];
    soon(reader.read_exact(&mut got)).await.unwrap();
    assert!(got.starts_with(b"busy!"));
    assert_eq!(one.log.count("message"), 2);
    soon(writing).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_session_is_notified_of_a_drain_once_and_can_say_goodbye() {
    let mut one = one(Probe::default(), probes).await;
    one.connection.drain();
    one.connection.drain();
    let report = one.server.drain(seconds(10)).await;
    assert_eq!(report.aborted, 0);
    assert_eq!(rest(&mut one.client).await.unwrap(), b"goodbye");
    assert_eq!(one.log.events(), ["connect", "drain", "close drained"]);
    assert_eq!(one.connection.closed().await.to_string(), "drained");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ignores_a_drain_is_aborted_at_the_deadline() {
    let probe = Probe {
        stays_in_drain: true,
        ..Probe::default()
    };
    let mut one = one(probe, probes).await;
    let draining = beside({
        let server = one.server.clone();
        async move { server.drain(seconds(10)).await }
    });
    settled().await;
    // Until then, it is served as before.
    one.client.write_all(b"still").await.unwrap();
    assert_eq!(read(&mut one.client, 5).await, "still");
    let report = draining.await.unwrap();
    assert_eq!((report.finished, report.aborted), (0, 1));
    assert_eq!(
        one.log.events(),
        ["connect", "drain", "data still", "close aborted"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_that_finishes_after_the_signal_has_drained() {
    let probe = Probe {
        stays_in_drain: true,
        ..Probe::default()
    };
    let one = one(probe, probes).await;
    one.connection.drain();
    until("the drain is reported", || one.log.count("drain") == 1).await;
    one.mailbox.send(Do::Close).await.unwrap();
    assert_eq!(soon(one.connection.closed()).await.to_string(), "drained");
}

#[tokio::test]
async fn a_callback_that_panics_before_it_waits_says_so_at_the_end() {
    struct Hasty(Log);

    impl Session for Hasty {
        type Message = ();

        fn on_data(
            &mut self,
            _: &mut Context<'_, ()>,
            data: &[u8],
        ) -> impl Future<Output = Result<(), BoxError>> + Send {
            assert!(data.is_empty(), "too hasty");
            async { Ok(()) }
        }

        fn on_close(&mut self, outcome: &Outcome) {
            self.0.add(format!("close {outcome}"));
        }
    }

    let log = Log::default();
    let (server, clients, mut accepted) = memory_server();
    let hasty = log.clone();
    let _server = server
        .start(session(move || Hasty(hasty.clone())))
        .await
        .unwrap();
    let mut client = clients.connect().await.unwrap();
    client.write_all(b"hello").await.unwrap();
    let outcome = accepted.outcome().await.to_string();
    assert_eq!(outcome, "panicked: too hasty");
    assert_eq!(log.events(), [format!("close {outcome}")]);
}

#[tokio::test]
async fn a_panic_in_the_last_callback_harms_nobody() {
    struct Sore;

    impl Session for Sore {
        type Message = ();

        async fn on_data(&mut self, _: &mut Context<'_, ()>, _: &[u8]) -> Result<(), BoxError> {
            panic!("first")
        }

        fn on_close(&mut self, _: &Outcome) {
            panic!("again");
        }
    }

    let (server, clients, mut accepted) = memory_server();
    let server = server.start(session(|| Sore)).await.unwrap();
    let mut client = clients.connect().await.unwrap();
    client.write_u8(0).await.unwrap();
    assert_eq!(accepted.outcome().await.to_string(), "panicked: first");
    drop(clients.connect().await.unwrap());
    assert_eq!(accepted.outcome().await.to_string(), "completed");
    assert_eq!(server.connection_count(), 0);
}

/// A session's connection has everything that other connections have.
#[tokio::test]
async fn a_session_sees_what_its_connection_knows() {
    struct Curious;

    impl Session for Curious {
        type Message = ();

        async fn on_connect(&mut self, cx: &mut Context<'_, ()>) -> Result<(), BoxError> {
            let conn: &Connection = cx.connection();
            let text = format!("{} {:?}", conn.peer_addr(), conn.state::<u8>());
            cx.send(text);
            cx.close();
            Ok(())
        }

        async fn on_data(&mut self, _: &mut Context<'_, ()>, _: &[u8]) -> Result<(), BoxError> {
            Ok(())
        }
    }

    let (server, clients, _accepted) = memory_server();
    let _server = server.state(7_u8).start(session(|| Curious)).await.unwrap();
    let told = rest(&mut clients.connect().await.unwrap()).await.unwrap();
    assert_eq!(told, b"client:1 Some(7)");
}
