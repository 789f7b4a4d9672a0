//! HTTP/2 streams are concurrent, and never outlive their connection.

use super::{Count, H2, answer, in_time, start};
use crate::support::until;
use axum::{Router, body::Body, routing::get};
use reagent::Outcome;
use reagent_layers::http::HttpLayer;
use std::{convert::Infallible, future::pending, time::Duration};
use tokio::time::{Instant, sleep};

/// `/hang` never responds, `/slow` responds after a second, `/half` stops in the middle of its
/// body, and `/panic` panics.
fn router(present: &Count) -> Router {
    let (hang, half) = (present.clone(), present.clone());
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route(
            "/hang",
            get(move || async move {
                let _present = hang.enter();
                pending::<()>().await;
            }),
        )
        .route(
            "/half",
            get(move || async move {
                let present = half.enter();
                let pieces = futures_util::stream::unfold(0, move |n| {
                    let _ = &present;
                    async move {
                        match n {
                            0 => Some((Ok::<_, Infallible>("half"), 1)),
                            _ => pending().await,
                        }
                    }
                });
                Body::from_stream(pieces)
            }),
        )
        .route(
            "/slow",
            get(|| async {
                sleep(Duration::from_secs(1)).await;
                "slow"
            }),
        )
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("on request");
                }
            }),
        )
}

fn layers() -> [HttpLayer; 2] {
    [HttpLayer::new(), HttpLayer::new().parallel_streams(true)]
}

#[tokio::test(start_paused = true)]
async fn streams_do_not_wait_for_one_another() {
    for layer in layers() {
        let present = Count::default();
        let (_server, clients) = start(layer, router(&present)).await;
        let mut client = H2::new(clients.connect().await.unwrap()).await;
        let began = Instant::now();
        let hanging = client.send("/hang").await;
        let slow: Vec<_> = [client.send("/slow").await, client.send("/slow").await].into();
        assert_eq!(client.get("/").await.unwrap().1, "hello");
        assert!(began.elapsed() < Duration::from_secs(1));
        for slow in slow {
            assert_eq!(answer(slow).await.unwrap().1, "slow");
        }
        assert_eq!(began.elapsed().as_secs(), 1);

        // Only the stream that the client resets is dropped.
        until("it hangs", || present.now() == 1).await;
        drop(hanging);
        client.get("/").await.unwrap();
        until("it is dropped", || present.now() == 0).await;
        assert_eq!(client.get("/").await.unwrap().1, "hello");
    }
}

#[tokio::test]
async fn streams_end_with_their_connection() {
    for layer in layers() {
        for path in ["/hang", "/half"] {
            let present = Count::default();
            let (server, clients) = start(layer.clone(), router(&present)).await;
            // The client leaves.
            let mut client = H2::new(clients.connect().await.unwrap()).await;
            let response = client.send(path).await;
            until("it is served", || present.now() == 1).await;
            client.connection.abort();
            drop((client.connection, response));
            server.ends.of(1).await;
            until("it is dropped", || present.now() == 0).await;

            // The connection is aborted.
            let mut client = H2::new(clients.connect().await.unwrap()).await;
            let _response = client.send(path).await;
            until("it is served", || present.now() == 1).await;
            server.connection(2).unwrap().abort();
            assert!(matches!(server.ends.of(2).await, Outcome::Aborted));
            until("it is dropped", || present.now() == 0).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_its_stream_and_then_the_connection() {
    for layer in layers() {
        let (server, clients) = start(layer, router(&Count::default())).await;
        let mut client = H2::new(clients.connect().await.unwrap()).await;
        let began = Instant::now();
        let slow = client.send("/slow").await;
        assert!(client.get("/panic").await.unwrap_err().is_reset());
        // Streams from before are not affected.
        assert_eq!(answer(slow).await.unwrap().1, "slow");
        in_time(client.connection).await.unwrap().unwrap();
        // The end is not due to the idle timeout.
        assert!(began.elapsed() < Duration::from_secs(2));
        let outcome = server.ends.of(1).await;
        assert_eq!(outcome.to_string(), "panicked: on request");
    }
}
