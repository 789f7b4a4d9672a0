//! tower's layers for requests.

use super::{Client, SECOND, after, lines, same, start};
use reagent::BoxError;
use reagent_layers::framed::{FrameError, OnError};
use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use tokio::time::{Instant, sleep};
use tower::{
    ServiceBuilder, load_shed::error::Overloaded, retry, service_fn, timeout::error::Elapsed,
};

/// Answers with the error, and continues.
fn tell(error: &FrameError) -> OnError<String> {
    OnError::Answer(match error {
        FrameError::Service(error) if error.is::<Elapsed>() => "too slow".into(),
        FrameError::Service(error) if error.is::<Overloaded>() => "too many".into(),
        error => error.to_string(),
    })
}

#[tokio::test(start_paused = true)]
async fn a_timeout_fails_one_request() {
    let service = ServiceBuilder::new()
        .timeout(SECOND)
        .service(service_fn(after));
    let (_server, clients) = start(lines().on_error(tell), service).await;
    let mut client = Client::new(&clients).await;
    client.send("10\n5000\n20\n").await;
    for answer in ["10", "too slow", "20"] {
        assert_eq!(client.line().await, answer);
    }
}

#[tokio::test(start_paused = true)]
async fn a_concurrency_limit_holds_for_all_connections_and_idle_ones_take_no_place() {
    let at_work = Arc::new(AtomicUsize::new(0));
    let service = ServiceBuilder::new()
        .concurrency_limit(2)
        .service(service_fn({
            let at_work = at_work.clone();
            move |line: String| {
                let at_work = at_work.clone();
                async move {
                    assert!(at_work.fetch_add(1, SeqCst) < 2);
                    let answer = after(line).await;
                    at_work.fetch_sub(1, SeqCst);
                    answer
                }
            }
        }));
    let (_server, clients) = start(lines().in_flight(8), service).await;
    let mut all = Vec::new();
    for _ in 0..10 {
        all.push(Client::new(&clients).await);
    }
    let began = Instant::now();
    // Half of them stay idle.
    for client in &mut all[..5] {
        client.send("1000\n1000\n").await;
    }
    for client in &mut all[..5] {
        assert_eq!(
            (client.line().await, client.line().await),
            ("1000".into(), "1000".into())
        );
    }
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_does_not_keep_the_places_of_its_requests() {
    let service = ServiceBuilder::new()
        .concurrency_limit(1)
        .service(service_fn(|_: String| async {
            sleep(SECOND).await;
            same("z".repeat(100 * 1024)).await
        }));
    let (_server, clients) = start(lines().in_flight(4), service).await;
    let mut deaf = Client::new(&clients).await;
    deaf.send("a\nb\nc\nd\ne\nf\n").await;
    sleep(3 * SECOND).await;
    let mut other = Client::new(&clients).await;
    other.send("x\n").await;
    assert_eq!(other.line().await.len(), 100 * 1024);
}

#[tokio::test(start_paused = true)]
async fn shed_requests_are_answered_and_the_connection_continues() {
    let service = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(1)
        .service(service_fn(after));
    let (_server, clients) = start(lines().on_error(tell), service).await;
    let mut ada = Client::new(&clients).await;
    let mut bob = Client::new(&clients).await;
    ada.send("5000\n").await;
    sleep(SECOND).await;
    bob.send("1\n").await;
    assert_eq!(bob.line().await, "too many");
    assert_eq!(ada.line().await, "5000");
    bob.send("2\n").await;
    assert_eq!(bob.line().await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_behind_a_buffer_slows_all_down() {
    let service = ServiceBuilder::new()
        .buffer(4)
        .rate_limit(10, SECOND)
        .service(service_fn(same));
    let (_server, clients) = start(lines().in_flight(100), service).await;
    let mut client = Client::new(&clients).await;
    let began = Instant::now();
    client.send(&"x\n".repeat(50)).await;
    for _ in 0..50 {
        assert_eq!(client.line().await, "x");
    }
    assert_eq!(began.elapsed().as_secs(), 4);
}

/// Tries three times.
#[derive(Clone)]
struct Thrice(usize);

impl retry::Policy<String, String, BoxError> for Thrice {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut String,
        result: &mut Result<String, BoxError>,
    ) -> Option<Ready<()>> {
        self.0 += 1;
        (result.is_err() && self.0 < 3).then(|| ready(()))
    }

    fn clone_request(&mut self, line: &String) -> Option<String> {
        Some(line.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_failed_is_tried_again() {
    let tries = Arc::new(AtomicUsize::new(0));
    let service = ServiceBuilder::new().retry(Thrice(0)).service(service_fn({
        let tries = tries.clone();
        move |line: String| {
            let n = tries.fetch_add(1, SeqCst);
            ready(if n % 3 < 2 { Err("again") } else { Ok(line) }.map_err(BoxError::from))
        }
    }));
    let (_server, clients) = start(lines(), service).await;
    let mut client = Client::new(&clients).await;
    client.send("a\nb\n").await;
    assert_eq!(
        (client.line().await, client.line().await),
        ("a".into(), "b".into())
    );
    assert_eq!(tries.load(SeqCst), 6);
}

#[tokio::test(start_paused = true)]
async fn a_service_per_connection_remembers_its_client() {
    use reagent_layers::framed::{Client as Facts, FramedMakeLayer, codec::LinesCodec};
    let make = service_fn(|client: Facts<String>| {
        let mut count = 0;
        let service = service_fn(move |_: String| {
            count += 1;
            let id = client.handle().id();
            ready(Ok::<_, Infallible>(format!("{id}.{count}")))
        });
        ready(Ok::<_, Infallible>((LinesCodec::new(), service)))
    });
    let (_server, clients) = start(FramedMakeLayer::new(), make).await;
    for id in 1..3 {
        let mut client = Client::new(&clients).await;
        client.send("x\nx\n").await;
        assert_eq!(client.line().await, format!("{id}.1"));
        assert_eq!(client.line().await, format!("{id}.2"));
    }
}
