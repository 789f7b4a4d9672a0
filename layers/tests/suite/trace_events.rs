//! `TraceObserver`: one start and one end per connection with their fields, and the events of the
//! server.

use crate::{
    capture::{Capture, TARGET, field},
    endings::{WAYS, all_ended, as_told, end, tell},
    support::{echo, echoes, until},
    trace::start,
};
use reagent::{
    BoxError, Connection, Server, Shutdown, handle,
    testing::{FlakyListener, MemoryListener},
};
use reagent_layers::trace::TraceObserver;
use std::{collections::BTreeMap, error::Error, fmt, io, time::Duration};
use tracing::Level;

#[tokio::test]
async fn however_a_connection_ends_there_is_one_start_and_one_end() {
    let (capture, _guard) = Capture::up_to(Level::TRACE);
    let (server, clients) = start(handle(as_told)).await;
    for _ in 0..100 {
        for (way, _) in WAYS {
            end(&clients, way).await;
        }
    }
    all_ended(&server).await;

    let mut counts = BTreeMap::new();
    for event in capture.events() {
        let Some(id) = event.fields.get("connection.id") else {
            continue;
        };
        assert_eq!(event.target, TARGET);
        assert!(event.spans.is_empty(), "in no span: {event:?}");
        let count: &mut (u32, u32) = counts.entry(id.clone()).or_default();
        match event.message() {
            "connection started" => count.0 += 1,
            "connection ended" => count.1 += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!(counts.len(), 700);
    assert!(counts.values().all(|count| *count == (1, 1)), "{counts:?}");
    assert_eq!(capture.closed().len(), 700);
}

#[tokio::test]
async fn the_end_says_how_and_why() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let (server, clients) = start(handle(as_told)).await;
    for (way, _) in WAYS {
        end(&clients, way).await;
        all_ended(&server).await;
    }
    let ends = capture.named("connection ended");
    for ((end, span), (_, outcome)) in ends.iter().zip(capture.closed()).zip(WAYS) {
        let (class, message) = match outcome {
            "failed" => (Some("BrokenPipe"), Some("broken pipe")),
            "rejected" | "timed_out" => (Some("as told"), None),
            "panicked" => (Some("panic"), Some("as told")),
            _ => (None, None),
        };
        let level = match outcome {
            "panicked" => Level::ERROR,
            _ => Level::INFO,
        };
        assert_eq!(end.level, level, "{outcome}");
        for fields in [&end.fields, &span] {
            assert_eq!(field(fields, "outcome"), Some(outcome));
            assert_eq!(field(fields, "error.type"), class, "{outcome}");
            assert_eq!(field(fields, "bytes_read"), Some("1"));
            assert_eq!(field(fields, "bytes_written"), Some("1"));
        }
        assert_eq!(field(&end.fields, "error.message"), message, "{outcome}");
        assert_eq!(field(&span, "error.message"), None);
        assert!(end.fields["duration"].parse::<f64>().unwrap() >= 0.0);
        assert_eq!(end.fields["listener"], server.local_addr().to_string());
    }
    assert_eq!(ends.len(), WAYS.len());
}

#[tokio::test]
async fn no_payload_is_in_any_span_or_event() {
    let (capture, _guard) = Capture::up_to(Level::TRACE);
    let (server, clients) = start(handle(echo)).await;
    let mut client = clients.connect().await.unwrap();
    assert!(echoes(&mut client, "hunter2").await);
    drop(client);
    all_ended(&server).await;
    assert!(!capture.events().is_empty() && !capture.closed().is_empty());
    let said = format!("{:?} {:?}", capture.events(), capture.closed());
    assert!(!said.contains("hunter2"), "{said}");
}

/// Fails with a classified error.
async fn classified(conn: Connection) -> Result<(), BoxError> {
    conn.label("error.type", "bad_greeting");
    Err("the client did not greet".into())
}

#[tokio::test]
async fn a_layer_names_the_class_of_its_error_by_a_label() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let (server, clients) = start(handle(classified)).await;
    drop(clients.connect().await.unwrap());
    until("the end", || server.stats().failed == 1).await;
    all_ended(&server).await;
    let end = &capture.named("connection ended")[0].fields;
    for fields in [end, &capture.closed()[0]] {
        assert_eq!(field(fields, "error.type"), Some("bad_greeting"));
    }
    assert_eq!(field(end, "labels"), None);
}

/// An error whose message does not repeat its source.
#[derive(Debug)]
struct Lost(io::Error);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lost the upstream")
    }
}

impl Error for Lost {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[tokio::test]
async fn an_error_is_followed_by_its_sources() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let lost = |_: Connection| async { Err::<(), _>(Lost(io::Error::other("no route"))) };
    let (server, clients) = start(handle(lost)).await;
    drop(clients.connect().await.unwrap());
    until("the end", || server.stats().failed == 1).await;
    let end = &capture.named("connection ended")[0].fields;
    assert_eq!(end["error.message"], "lost the upstream: no route");
}

#[tokio::test]
async fn an_error_however_long_makes_a_short_event() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let long = |_: Connection| async { Err::<(), BoxError>("ä".repeat(100_000).into()) };
    let (server, clients) = start(handle(long)).await;
    drop(clients.connect().await.unwrap());
    until("the end", || server.stats().failed == 1).await;
    let end = &capture.named("connection ended")[0].fields;
    assert_eq!(end["error.message"], "ä".repeat(512) + "…");
    assert_eq!(end["error.type"], "_OTHER");
}

#[tokio::test(start_paused = true)]
async fn events_of_the_server_are_emitted_too() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let (listener, clients) = MemoryListener::new();
    let (listener, script) = FlakyListener::new(listener);
    let server = Server::new(listener)
        .observe(TraceObserver::new())
        .max_connections(1)
        .start(handle(as_told))
        .await
        .unwrap();
    script.fail_accepts([
        io::ErrorKind::ConnectionAborted.into(),
        io::ErrorKind::OutOfMemory.into(),
        io::ErrorKind::InvalidInput.into(),
    ]);
    script.fail_reopens([io::ErrorKind::AddrInUse.into()]);
    let waiting = tell(&clients, b'w').await;
    let second = clients.connect().await.unwrap();
    let limit_reached = || !capture.named("connection limit reached").is_empty();
    until("the limit", limit_reached).await;
    server.connection(1).unwrap().drain();
    until("the next", || server.connection(2).is_some()).await;
    drop((waiting, second));
    server.drain(Duration::from_secs(1)).await;

    for (message, level, count) in [
        ("listening", Level::INFO, 1),
        ("acceptor started", Level::DEBUG, 1),
        ("accept failed", Level::DEBUG, 3),
        (
            "no client can be served for lack of descriptors or memory",
            Level::ERROR,
            1,
        ),
        ("clients can be served again", Level::WARN, 1),
        ("listening socket lost", Level::ERROR, 1),
        ("listening socket cannot be reopened yet", Level::WARN, 1),
        ("listening socket reopened", Level::INFO, 1),
        ("connection limit reached", Level::DEBUG, 1),
        ("connection limit wait ended", Level::DEBUG, 1),
        ("acceptor stopped", Level::DEBUG, 1),
        ("no longer listening", Level::INFO, 1),
        ("drain started", Level::INFO, 1),
        ("drain ended", Level::INFO, 1),
    ] {
        let events = capture.named(message);
        assert_eq!(events.len(), count, "{message}");
        assert!(events.iter().all(|event| event.level == level), "{message}");
    }
    let exhausted = "no client can be served for lack of descriptors or memory";
    let fields = &capture.named(exhausted)[0].fields;
    let listener = server.local_addr().to_string();
    assert_eq!(field(fields, "listener"), Some(&*listener));
    assert_eq!(field(fields, "acceptor"), Some("0"));
}

#[tokio::test(start_paused = true)]
async fn the_survivors_of_a_drain_are_emitted_with_their_reasons() {
    let (capture, _guard) = Capture::up_to(Level::INFO);
    let (listener, clients) = MemoryListener::new();
    let (keep, mut kept) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::new(listener)
        .observe(TraceObserver::new())
        .start(handle(move |conn: Connection| {
            let keep = keep.clone();
            async move {
                if conn.id() == 1 {
                    // The test holds it without using it.
                    let _ = keep.send(conn);
                    return io::Result::Ok(());
                }
                let _open = conn;
                std::future::pending().await
            }
        }))
        .await
        .unwrap();
    let _first = clients.connect().await.unwrap();
    let held = kept.recv().await;
    let _second = clients.connect().await.unwrap();
    until("the second", || server.connection(2).is_some()).await;
    let shutdown = Shutdown::new(Duration::from_secs(9)).lame_duck(Duration::from_secs(5));
    server.shutdown(shutdown).await;

    let lame_duck = &capture.named("lame duck stage started")[0];
    assert_eq!(field(&lame_duck.fields, "duration"), Some("5.0"));
    let survivors = capture.named("connection survived the drain");
    for (survivor, level, id, reason, is_open) in [
        (&survivors[0], Level::WARN, "1", "detached", "true"),
        (&survivors[1], Level::INFO, "2", "not_listening", "false"),
    ] {
        assert_eq!(survivor.level, level);
        let fields = &survivor.fields;
        assert_eq!(field(fields, "connection.id"), Some(id));
        assert_eq!(field(fields, "reason"), Some(reason));
        assert_eq!(field(fields, "is_open"), Some(is_open));
        assert_eq!(field(fields, "notified_at"), Some("0.0"));
    }
    let ended = &capture.named("drain ended")[0];
    assert_eq!(field(&ended.fields, "notified"), Some("2"));
    drop(held);
}

#[tokio::test]
async fn a_client_that_leaves_is_reported_as_disconnected() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let (server, clients) = start(handle(as_told)).await;
    drop(clients.connect().await.unwrap());
    until("the end", || server.stats().disconnected == 1).await;
    let end = &capture.named("connection ended")[0];
    assert_eq!(end.level, Level::INFO);
    for fields in [&end.fields, &capture.closed()[0]] {
        assert_eq!(field(fields, "outcome"), Some("disconnected"));
        assert_eq!(field(fields, "error.type"), Some("eof"));
    }
}
