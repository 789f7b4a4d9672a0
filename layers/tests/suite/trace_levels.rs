//! `TraceLayer` and `TraceObserver`: when they emit nothing, and what that costs.

use crate::{
    capture::{Capture, Seen, field},
    endings::{WAYS, all_ended, as_told, end},
    support::{echo, echoes},
};
use reagent::{
    Server, ServerHandle, handle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::trace::{TraceLayer, TraceObserver};
use std::time::Duration;
use tokio::runtime::Builder;
use tracing::{Level, level_filters::LevelFilter};

/// Returns the events of connections with each outcome, up to this level.
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
    let (events, spans) = said_up_to(Level::DEBUG, observer.clone(), layer).await;
    assert_eq!((events.len(), spans), (14, 7));

    let (events, spans) = said_up_to(Level::INFO, observer.clone(), layer).await;
    assert_eq!((events.len(), spans), (7, 0));
    assert!(events.iter().all(|(_, event)| event == "connection ended"));

    let (events, spans) = said_up_to(Level::WARN, observer.clone(), layer).await;
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

/// Returns the end events of `count` failed connections.
async fn ends(
    clients: &Clients,
    server: &ServerHandle,
    capture: &Capture,
    count: usize,
) -> Vec<Seen> {
    let before = capture.named("connection ended").len();
    for _ in 0..count {
        end(clients, b'r').await;
    }
    all_ended(server).await;
    capture.named("connection ended").split_off(before)
}

#[tokio::test(start_paused = true)]
async fn failures_have_a_level_of_their_own_but_no_more_than_ten_in_a_second() {
    let (capture, _guard) = Capture::up_to(Level::DEBUG);
    let (listener, clients) = MemoryListener::new();
    let observer = TraceObserver::new().end_level(Level::DEBUG);
    let server = Server::new(listener)
        .observe(observer.failure_level(Level::WARN))
        .start(handle(as_told))
        .await
        .unwrap();
    let levels = |ends: &[Seen]| ends.iter().map(|end| end.level).collect::<Vec<_>>();
    let first = ends(&clients, &server, &capture, 13).await;
    let expected = [vec![Level::WARN; 10], vec![Level::DEBUG; 3]].concat();
    assert_eq!(levels(&first), expected);
    assert!(
        first
            .iter()
            .all(|end| field(&end.fields, "failures_unseen").is_none())
    );

    tokio::time::advance(Duration::from_secs(1)).await;
    let next = ends(&clients, &server, &capture, 2).await;
    assert_eq!(levels(&next), [Level::WARN; 2]);
    let unseen: Vec<_> = next
        .iter()
        .map(|end| field(&end.fields, "failures_unseen"))
        .collect();
    assert_eq!(unseen, [Some("3"), None]);

    // A successful connection is not among them.
    end(&clients, b'c').await;
    all_ended(&server).await;
    assert_eq!(
        levels(&capture.named("connection ended")[15..]),
        [Level::DEBUG]
    );
}

/// Returns the number of allocations of a thousand consecutive connections.
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
fn disabled_events_allocate_nothing() {
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
