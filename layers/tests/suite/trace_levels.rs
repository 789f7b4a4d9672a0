//! `TraceLayer` and `TraceObserver`: when they say nothing, what that costs, and what else they say.

use crate::{
    capture::Capture,
    endings::{WAYS, all_ended, as_told, end},
    support::{echo, echoes, outcome, until},
};
use reagent::{
    Connection, Outcome, Server, handle,
    testing::{FlakyListener, MemoryListener},
};
use reagent_layers::trace::{TraceLayer, TraceObserver};
use std::{future::pending, io, time::Duration};
use tokio::{runtime::Builder, sync::mpsc};
use tracing::{Level, level_filters::LevelFilter};

/// The events of a connection of each kind, up to this level.
async fn said_up_to(
    level: impl Into<LevelFilter>,
    observer: TraceObserver,
    layer: TraceLayer,
) -> (Vec<(Level, String)>, usize) {
    let (capture, _guard) = Capture::up_to(level);
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .observe(observer)
        .layer(layer)
        .start(handle(as_told))
        .await
        .unwrap();
    for (way, _) in WAYS {
        end(&clients, way).await;
    }
    all_ended(&server).await;
    let mut events = capture.events();
    events.retain(|event| event.fields.contains_key("connection.id"));
    let events = events
        .iter()
        .map(|event| (event.level, event.message().to_owned()));
    (events.collect(), capture.closed().len())
}

#[tokio::test]
async fn by_default_information_is_of_ends_and_the_rest_is_for_debugging() {
    let (observer, layer) = (TraceObserver::new(), TraceLayer::new());
    let (events, spans) = said_up_to(Level::DEBUG, observer, layer).await;
    assert_eq!((events.len(), spans), (14, 7));

    let (events, spans) = said_up_to(Level::INFO, observer, layer).await;
    assert_eq!((events.len(), spans), (7, 0));
    assert!(events.iter().all(|(_, event)| event == "connection ended"));

    let (events, spans) = said_up_to(Level::WARN, observer, layer).await;
    assert_eq!(events, [(Level::ERROR, "connection ended".to_owned())]);
    assert_eq!(spans, 0);

    let (events, spans) = said_up_to(LevelFilter::OFF, observer, layer).await;
    assert_eq!((events.len(), spans), (0, 0));
}

#[tokio::test]
async fn levels_are_as_they_are_set() {
    let levels = [
        Level::ERROR,
        Level::WARN,
        Level::INFO,
        Level::DEBUG,
        Level::TRACE,
    ];
    for level in levels {
        let observer = TraceObserver::new().start_level(level).end_level(level);
        let layer = TraceLayer::new().level(level);
        let (events, spans) = said_up_to(level, observer, layer).await;
        assert_eq!((events.len(), spans), (14, 7), "{level}");
        let others = events.iter().filter(|(said, _)| *said != level).count();
        assert_eq!(others, usize::from(level != Level::ERROR), "{level}");
    }
}

/// How often memory is taken by a thousand connections, one after the other.
fn allocations(trace: bool) -> u64 {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener);
    let server = runtime.block_on(async {
        if trace {
            let server = server.observe(TraceObserver::new());
            server.layer(TraceLayer::new()).start(handle(echo)).await
        } else {
            server.start(handle(echo)).await
        }
    });
    let server = server.unwrap();
    let serve = |count| {
        runtime.block_on(async {
            for _ in 0..count {
                let mut client = clients.connect().await.unwrap();
                assert!(echoes(&mut client, "x").await);
                drop(client);
                all_ended(&server).await;
            }
        });
    };
    serve(100);
    allocation_counter::measure(|| serve(1000)).count_total
}

#[test]
fn what_is_off_takes_no_memory() {
    let bare = allocations(false);
    assert!(bare > 1000, "it counts");
    assert_eq!(allocations(true), bare, "with no subscriber");
    {
        let (_capture, _guard) = Capture::up_to(LevelFilter::OFF);
        assert_eq!(allocations(true), bare, "with one to whom all is too much");
    }
    let (_capture, _guard) = Capture::up_to(Level::TRACE);
    assert!(allocations(true) > bare, "it would have been seen");
}

#[tokio::test]
async fn what_a_handler_drops_is_dropped_in_its_span() {
    struct Farewell;
    impl Drop for Farewell {
        fn drop(&mut self) {
            tracing::info!("farewell");
        }
    }
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .layer(TraceLayer::new())
        .start(handle(|_: Connection| async {
            let _farewell = Farewell;
            pending::<io::Result<()>>().await
        }))
        .await
        .unwrap();
    let _client = clients.connect().await.unwrap();
    until("a connection", || server.connection_count() == 1).await;
    tokio::task::yield_now().await;
    let abort = async { server.connection(1).unwrap().abort() };
    let (ended, ()) = tokio::join!(outcome(&server, 1), abort);
    assert!(matches!(ended, Outcome::Aborted));
    let farewell = &capture.named("farewell")[0];
    assert_eq!(farewell.spans[0]["connection.id"], "1");
    assert_eq!(capture.closed()[0]["outcome"], "aborted");
}

#[tokio::test]
async fn a_span_lasts_as_long_as_its_connection_wherever_the_stream_goes() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let (listener, clients) = MemoryListener::new();
    let (away, mut taken) = mpsc::unbounded_channel();
    let server = Server::new(listener)
        .observe(TraceObserver::new())
        .layer(TraceLayer::new())
        .start(handle(move |conn: Connection| {
            let given = away.send(conn);
            async move { given.map_err(|_| io::Error::other("nobody takes it")) }
        }))
        .await
        .unwrap();
    let _client = clients.connect().await.unwrap();
    let conn = taken.recv().await.unwrap();
    let handled = || server.connection(1).unwrap().outcome().is_some();
    until("the end of the handler", handled).await;
    assert!(capture.closed().is_empty());
    assert!(capture.named("connection ended").is_empty());
    {
        // In the span of something else, which must not claim the event.
        let _other = tracing::info_span!("other").entered();
        drop(conn);
    }
    let end = &capture.named("connection ended")[0];
    assert_eq!(end.fields["outcome"], "completed");
    assert!(end.spans.is_empty());
    let is_ours = |span: &&crate::capture::Fields| span["name"] == "connection";
    assert_eq!(capture.closed().iter().filter(is_ours).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_the_server_is_said_too() {
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
    let waiting = crate::endings::tell(&clients, b'w').await;
    let second = clients.connect().await.unwrap();
    let limit_reached = || !capture.named("limit reached").is_empty();
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
            "no client can be served for want of descriptors or memory",
            Level::ERROR,
            1,
        ),
        ("clients can be served again", Level::WARN, 1),
        ("listening socket lost", Level::ERROR, 1),
        ("listening socket cannot be reopened yet", Level::WARN, 1),
        ("listening socket reopened", Level::INFO, 1),
        ("limit reached", Level::DEBUG, 1),
        ("limit waited", Level::DEBUG, 1),
        ("acceptor stopped", Level::DEBUG, 1),
        ("no longer listening", Level::INFO, 1),
        ("drain started", Level::INFO, 1),
        ("drain ended", Level::INFO, 1),
    ] {
        let events = capture.named(message);
        assert_eq!(events.len(), count, "{message}");
        assert!(events.iter().all(|event| event.level == level), "{message}");
    }
}
