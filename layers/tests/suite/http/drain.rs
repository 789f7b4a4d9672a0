//! A draining server finishes requests in progress and takes no new ones.

use super::{Count, H2, Raw, SECOND, answer, in_time, start};
use crate::support::until;
use axum::{Router, routing::get};
use reagent::{Outcome, SurvivalReason};
use reagent_layers::http::HttpLayer;
use std::time::Duration;
use tokio::time::{Instant, sleep};

fn router(served: &Count) -> Router {
    let slow = served.clone();
    Router::new().route("/", get(|| async { "hello" })).route(
        "/slow",
        get(move || async move {
            slow.add();
            sleep(3 * SECOND).await;
            "slow"
        }),
    )
}

const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn idle_connections_close_at_once() {
    let (server, clients) = start(HttpLayer::new(), router(&Count::default())).await;
    let mut one = Raw(clients.connect().await.unwrap());
    one.get("/").await;
    let mut two = H2::new(clients.connect().await.unwrap()).await;
    two.get("/").await.unwrap();
    sleep(SECOND).await;
    let began = Instant::now();
    let report = server.drain(DEADLINE).await;
    assert_eq!((report.finished, report.aborted), (2, 0));
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(one.rest().await, "");
    in_time(two.connection).await.unwrap().unwrap();
    for id in [1, 2] {
        assert!(matches!(server.ends.of(id).await, Outcome::Drained));
    }
}

/// Its next request may be on its way and would meet a closed connection.
#[tokio::test(start_paused = true)]
async fn a_client_that_was_just_answered_has_a_moment_for_another_request() {
    let (server, clients) = start(HttpLayer::new(), router(&Count::default())).await;
    let mut asks = Raw(clients.connect().await.unwrap());
    let mut silent = Raw(clients.connect().await.unwrap());
    asks.get("/").await;
    silent.get("/").await;
    sleep(SECOND / 4).await;
    let asking = async {
        sleep(SECOND / 2).await;
        // A part of a request is enough for the server to wait for it.
        asks.send("GET / HT").await;
        sleep(5 * SECOND).await;
        asks.send("TP/1.1\r\nhost: here\r\n\r\n").await;
        let answer = asks.answer().await.unwrap();
        assert_eq!(answer.body, "hello");
        assert!(answer.head.contains("connection: close"), "{}", answer.head);
        assert_eq!(asks.rest().await, "");
    };
    let leaving = async {
        let began = Instant::now();
        assert_eq!(silent.rest().await, "");
        assert_eq!(began.elapsed(), 3 * SECOND / 4);
    };
    let (report, (), ()) = tokio::join!(server.drain(DEADLINE), asking, leaving);
    assert_eq!((report.finished, report.aborted), (2, 0));
    assert_eq!(report.elapsed, 11 * SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn requests_in_progress_are_finished_and_no_new_ones_are_taken() {
    let served = Count::default();
    let (server, clients) = start(HttpLayer::new(), router(&served)).await;
    let mut one = Raw(clients.connect().await.unwrap());
    // A second request has already arrived.
    let request = "GET /slow HTTP/1.1\r\nhost: here\r\n\r\n";
    one.send(&request.repeat(2)).await;
    let mut two = H2::new(clients.connect().await.unwrap()).await;
    let slow = two.send("/slow").await;
    until("both are served", || served.now() == 2).await;

    let serving = async {
        let first = one.answer().await.unwrap();
        assert_eq!(first.body, "slow");
        assert!(first.head.contains("connection: close"), "{}", first.head);
        assert_eq!(one.rest().await, "");
        assert_eq!(answer(slow).await.unwrap().1, "slow");
        in_time(two.connection).await.unwrap().unwrap();
    };
    let (report, ()) = tokio::join!(server.drain(DEADLINE), serving);
    assert_eq!((report.finished, report.aborted), (2, 0));
    assert_eq!(report.elapsed.as_secs(), 3);
    assert_eq!(served.now(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_http2_client_is_asked_to_send_no_more_requests() {
    let served = Count::default();
    let (server, clients) = start(HttpLayer::new(), router(&served)).await;
    let mut client = H2::new(clients.connect().await.unwrap()).await;
    let slow = client.send("/slow").await;
    until("it is served", || served.now() == 1).await;
    let asking = async {
        sleep(SECOND).await;
        let refused = match client.requests.clone().ready().await {
            Ok(mut requests) => {
                let request = ::http::Request::get("http://here/").body(()).unwrap();
                match requests.send_request(request, true) {
                    Ok((response, _)) => answer(response).await.is_err(),
                    Err(_) => true,
                }
            }
            Err(_) => true,
        };
        assert!(refused);
        assert_eq!(answer(slow).await.unwrap().1, "slow");
    };
    let (report, ()) = tokio::join!(server.drain(DEADLINE), asking);
    assert_eq!((report.finished, report.aborted), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_new_client_has_a_moment_for_a_request() {
    let (server, clients) = start(HttpLayer::new(), router(&Count::default())).await;
    let mut asks = Raw(clients.connect().await.unwrap());
    let mut silent = Raw(clients.connect().await.unwrap());
    until("both are there", || server.connection_count() == 2).await;
    let asking = async {
        sleep(SECOND / 2).await;
        let answer = asks.get("/").await;
        assert_eq!(answer.body, "hello");
        assert!(answer.head.contains("connection: close"), "{}", answer.head);
        assert_eq!(asks.rest().await, "");
        assert_eq!(silent.rest().await, "");
    };
    let (report, ()) = tokio::join!(server.drain(DEADLINE), asking);
    assert_eq!((report.finished, report.aborted), (2, 0));
    assert_eq!(report.elapsed.as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn half_a_head_may_become_a_whole_one() {
    let (server, clients) = start(HttpLayer::new(), router(&Count::default())).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client.send("GET / HTTP/1.1\r\n").await;
    let mut never = Raw(clients.connect().await.unwrap());
    never.send("GET / HTTP/1.1\r\n").await;
    until("both are there", || server.connection_count() == 2).await;
    let asking = async {
        sleep(5 * SECOND).await;
        client.send("host: here\r\n\r\n").await;
        assert_eq!(client.answer().await.unwrap().body, "hello");
    };
    let (report, ()) = tokio::join!(server.drain(10 * DEADLINE), asking);
    assert_eq!((report.finished, report.aborted), (2, 0));
    assert_eq!(report.elapsed.as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn one_connection_can_be_told_alone() {
    let (server, clients) = start(HttpLayer::new(), router(&Count::default())).await;
    let mut one = Raw(clients.connect().await.unwrap());
    let mut two = Raw(clients.connect().await.unwrap());
    one.get("/").await;
    two.get("/").await;
    server.connection(1).unwrap().drain();
    assert_eq!(one.rest().await, "");
    assert_eq!(two.get("/").await.body, "hello");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_starts_http2_in_that_moment_is_asked_to_leave_too() {
    let (server, clients) = start(HttpLayer::new(), router(&Count::default())).await;
    let stream = clients.connect().await.unwrap();
    until("it is there", || server.connection_count() == 1).await;
    let asking = async {
        sleep(SECOND / 2).await;
        let client = H2::new(stream).await;
        // The connection may be ended before the client has sent a request.
        let _ = in_time(client.connection).await.unwrap();
    };
    let (report, ()) = tokio::join!(server.drain(DEADLINE), asking);
    assert_eq!((report.finished, report.aborted), (1, 0));
    assert!(report.elapsed < SECOND, "{:?}", report.elapsed);
}

#[tokio::test(start_paused = true)]
async fn a_request_longer_than_the_deadline_is_reported_as_unfinished() {
    let served = Count::default();
    let (server, clients) = start(HttpLayer::new(), router(&served)).await;
    let mut one = Raw(clients.connect().await.unwrap());
    one.send("GET /slow HTTP/1.1\r\nhost: here\r\n\r\n").await;
    let mut two = H2::new(clients.connect().await.unwrap()).await;
    let _slow = two.send("/slow").await;
    until("both requests", || served.now() == 2).await;
    let report = server.drain(2 * SECOND).await;
    assert_eq!(report.survivors_by(SurvivalReason::Unfinished), 2);
}
