//! Readiness, the pause, refusals, and the end of all of them.

use super::{Knob, SECOND, echo, open};
use crate::support::{Ends, LONG, until};
use reagent::{Outcome, Server, ServerHandle, handle, testing::MemoryListener};
use reagent_layers::{
    Refusal,
    pressure::{Actions, Moment, PRESSURE, Pressure, Source, source_fn},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::{Instant, sleep},
};

async fn answers(client: &mut DuplexStream) -> bool {
    client.write_u8(7).await.is_ok() && matches!(client.read_u8().await, Ok(7))
}

#[tokio::test(start_paused = true)]
async fn readiness_is_held_back_with_hysteresis() {
    let knob = Knob::default();
    let pressure = Pressure::builder()
        .source(knob.source())
        .actions(Actions::none().unready(0.9))
        .build();
    let (listener, _clients) = MemoryListener::new();
    let server = Server::new(listener).start(handle(echo)).await.unwrap();
    let readiness = server.readiness();
    pressure.attach(&server);
    for (value, is_ready) in [
        (0.89, true),
        (0.9, false),
        (0.86, false),
        (0.84, true),
        (0.89, true),
        (1.0, false),
        (0.0, true),
    ] {
        knob.set(value);
        sleep(SECOND).await;
        assert_eq!(readiness.is_ready(), is_ready, "at {value}");
        assert_eq!(pressure.stats().is_unready, !is_ready);
        assert_eq!(pressure.value(), value);
    }
    knob.set(1.0);
    sleep(SECOND).await;
    assert_eq!(readiness.reason().as_deref(), Some("pressure"));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_has_no_value_and_the_others_count() {
    let (knob, broken) = (Knob::default(), Knob::default());
    let is_broken = broken.clone();
    let fragile = source_fn("fragile", move || {
        assert!(is_broken.value() < 0.5, "expected by the test");
        0.1
    });
    let pressure = Pressure::builder()
        .source(fragile)
        .source(knob.source())
        .hysteresis(f64::INFINITY)
        .build();
    let (listener, _clients) = MemoryListener::new();
    let server = Server::new(listener).start(handle(echo)).await.unwrap();
    pressure.attach(&server);
    for (broken_at, value, expected) in [(0.0, 0.0, 0.1), (1.0, 0.96, 0.96), (0.0, 0.3, 0.3)] {
        broken.set(broken_at);
        knob.set(value);
        sleep(SECOND).await;
        assert_eq!(pressure.value(), expected);
        assert_eq!(server.readiness().is_ready(), expected < 0.9);
        let readings = pressure.stats().readings.len();
        assert_eq!(readings, if broken_at > 0.5 { 1 } else { 2 });
    }
}

#[tokio::test(start_paused = true)]
async fn under_pressure_clients_wait_in_the_queue_until_it_falls() {
    let knob = Knob::default();
    let pressure = Pressure::builder().source(knob.source()).build();
    let (listener, clients) = MemoryListener::like_socket();
    let server = Server::new(listener)
        .acceptors(3)
        .layer(pressure.layer())
        .start(handle(echo))
        .await
        .unwrap();
    pressure.attach(&server);
    assert!(answers(&mut clients.connect().await.unwrap()).await);
    for _ in 0..3 {
        knob.set(1.0);
        sleep(SECOND).await;
        let mut waiting = Vec::new();
        for _ in 0..5 {
            waiting.push(clients.connect().await.unwrap());
        }
        sleep(60 * SECOND).await;
        assert_eq!(clients.waiting(), 5, "nobody is accepted");
        knob.set(0.95);
        sleep(SECOND).await;
        assert_eq!(clients.waiting(), 5, "the threshold has a hysteresis");
        knob.set(0.0);
        for mut client in waiting {
            assert!(answers(&mut client).await);
        }
    }
    assert_eq!(pressure.stats().refused, 0);
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_when_the_server_drains_so_that_queued_clients_are_served() {
    let knob = Knob::default();
    let pressure = Pressure::builder().source(knob.source()).build();
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener)
        .layer(pressure.layer())
        .start(handle(echo))
        .await
        .unwrap();
    let readiness = server.readiness();
    pressure.attach(&server);
    knob.set(1.0);
    sleep(SECOND).await;
    let mut client = clients.connect().await.unwrap();
    sleep(SECOND).await;
    assert_eq!((clients.waiting(), readiness.is_ready()), (1, false));
    let report = server.drain(LONG).await;
    assert_eq!((report.finished, report.aborted), (1, 0));
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(
        (pressure.value(), pressure.stats().is_unready),
        (0.0, false)
    );
}

#[tokio::test(start_paused = true)]
async fn newcomers_are_refused_in_the_chosen_way_and_others_are_served() {
    let knob = Knob::default();
    let pressure = Pressure::builder()
        .source(knob.source())
        .actions(Actions::none())
        .build();
    let (listener, clients) = MemoryListener::new();
    let layer = pressure.layer().pause(None);
    let ends = Ends::default();
    let server = Server::new(listener)
        .observe(ends.clone())
        .layer(layer.refuse(0.9, Refusal::message("busy\n")))
        .start(handle(echo))
        .await
        .unwrap();
    pressure.attach(&server);
    let mut old = clients.connect().await.unwrap();
    assert!(answers(&mut old).await);
    knob.set(0.9);
    sleep(SECOND).await;
    let mut newcomer = clients.connect().await.unwrap();
    let mut received = String::new();
    newcomer.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "busy\n");
    assert!(answers(&mut old).await);
    drop(newcomer);
    match ends.of(2).await {
        Outcome::Rejected(rejected) => assert_eq!(rejected.reason(), PRESSURE),
        other => panic!("{other:?}"),
    }
    knob.set(0.0);
    sleep(SECOND).await;
    assert!(answers(&mut clients.connect().await.unwrap()).await);
    assert_eq!(pressure.stats().refused, 1);
}

#[tokio::test(start_paused = true)]
async fn refusals_that_are_only_tried_are_reported_and_everybody_is_served() {
    let knob = Knob::default();
    let pressure = Pressure::builder()
        .source(knob.source())
        .actions(Actions::none())
        .build();
    let (listener, clients) = MemoryListener::new();
    let layer = pressure.layer().pause(None).refuse(0.9, Refusal::Close);
    let server = Server::new(listener)
        .layer(layer.dry_run(true))
        .start(handle(echo))
        .await
        .unwrap();
    pressure.attach(&server);
    knob.set(0.9);
    sleep(SECOND).await;
    let mut newcomer = clients.connect().await.unwrap();
    assert!(answers(&mut newcomer).await);
    let labels = &server.connections()[0].labels;
    assert_eq!(labels[..], [("dry_run", "pressure: pressure".to_owned())]);
    assert_eq!(pressure.stats().refused, 0);
}

/// A resource that only some actions relieve.
struct Helps(Knob, [bool; 2]);

impl Source for Helps {
    fn name(&self) -> &'static str {
        "helps"
    }

    fn sample(&mut self, moment: &Moment<'_>) -> Option<f64> {
        self.0.source().sample(moment)
    }

    fn closing_helps(&self) -> bool {
        self.1[0]
    }

    fn pausing_helps(&self) -> bool {
        self.1[1]
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_that_does_not_help_is_not_taken() {
    for helps in [[false, false], [true, false], [false, true], [true, true]] {
        let knob = Knob::default();
        let pressure = Pressure::builder()
            .source(Helps(knob.clone(), helps))
            .build();
        let (listener, clients) = MemoryListener::new();
        let server = Server::new(listener)
            .layer(pressure.layer())
            .start(handle(echo))
            .await
            .unwrap();
        pressure.attach(&server);
        let mut idle = clients.connect().await.unwrap();
        assert!(answers(&mut idle).await);
        sleep(10 * SECOND).await;
        knob.set(1.0);
        sleep(3 * SECOND).await;
        let _new = clients.connect().await.unwrap();
        sleep(SECOND).await;
        assert_eq!(pressure.stats().asked == 1, helps[0], "{helps:?}");
        assert_eq!(clients.waiting() == 1, helps[1], "{helps:?}");
        assert!(!server.readiness().is_ready());
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_the_server_is_lowered_for_descriptors_and_restored() {
    let pressure = Pressure::builder()
        .actions(Actions::none().keep_descriptors(16, 1))
        .build();
    let (listener, _clients) = MemoryListener::new();
    let server = Server::new(listener)
        .max_connections(1_000_000_000)
        .start(handle(echo))
        .await
        .unwrap();
    pressure.attach(&server);
    sleep(SECOND).await;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let max = line.unwrap().split_ascii_whitespace().nth(3).unwrap();
    let max: usize = max.parse().unwrap();
    let lowered = server.stats().max_connections.unwrap();
    if max <= 10_000 {
        assert!((max / 2..max - 16).contains(&lowered), "{lowered} of {max}");
    } else {
        assert_eq!(lowered, 1_000_000_000);
    }
    server.drain(Duration::ZERO).await;
    until("it is restored", || server.limit().max() == 1_000_000_000).await;
}

#[tokio::test(start_paused = true)]
async fn changes_are_reported_and_a_number_that_is_none_counts_as_none() {
    let knob = Knob::default();
    let mut pressure = Pressure::builder()
        .source(knob.source())
        .interval(SECOND)
        .build();
    let (listener, _clients) = MemoryListener::new();
    let server = Server::new(listener).start(handle(echo)).await.unwrap();
    pressure.attach(&server);
    assert_eq!(pressure.changed().await, 0.0, "the first readings");
    let began = Instant::now();
    knob.set(0.5);
    assert_eq!(pressure.changed().await, 0.5);
    assert_eq!(began.elapsed(), SECOND);
    knob.set(7.0);
    assert_eq!(pressure.changed().await, 1.0);
    knob.set(f64::NAN);
    assert_eq!(pressure.changed().await, 0.0);
    let reading = pressure.stats().readings[0];
    assert_eq!((reading.name, reading.value), ("knob", None));
    drop(server);
}

/// A source that panics must not leave the server paused.
#[tokio::test(start_paused = true)]
async fn a_source_that_panics_ends_the_pressure() {
    let knob = Knob::default();
    let value = knob.clone();
    let mut sampled = value.source();
    struct Panics<F>(F);
    impl<F: FnMut(&Moment<'_>) -> Option<f64> + Send + 'static> Source for Panics<F> {
        fn name(&self) -> &'static str {
            "panics"
        }
        fn sample(&mut self, moment: &Moment<'_>) -> Option<f64> {
            (self.0)(moment)
        }
    }
    let pressure = Pressure::builder()
        .source(Panics(move |moment: &Moment<'_>| {
            let value = sampled.sample(moment);
            assert_ne!(value, Some(0.99), "on purpose");
            value
        }))
        .build();
    let (listener, clients) = MemoryListener::new();
    let server: ServerHandle = Server::new(listener)
        .layer(pressure.layer())
        .start(handle(echo))
        .await
        .unwrap();
    pressure.attach(&server);
    knob.set(1.0);
    sleep(SECOND).await;
    let mut client = clients.connect().await.unwrap();
    sleep(SECOND).await;
    assert_eq!(clients.waiting(), 1);
    knob.set(0.99);
    assert!(answers(&mut client).await);
    open(&server, 1).await;
    assert!(server.readiness().is_ready());
}
