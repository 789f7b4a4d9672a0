//! Frames pushed by the server.

use super::{Client, SECOND, start};
use reagent_layers::framed::{self, FramedMakeLayer, PushError, Pusher, codec::LinesCodec};
use std::{convert::Infallible, future::ready, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tower::service_fn;

type Lines = FramedMakeLayer<String>;

/// Answers `more` with three pushes and an answer, `slowly` after a second, and everything else
/// with itself. Also returns the pusher of the client.
async fn pushing(layer: Lines) -> (crate::support::Served, Client, Pusher<String>) {
    let (pushers, mut given) = mpsc::unbounded_channel();
    let make = service_fn(move |client: framed::Client<String>| {
        let pusher = client.pusher();
        pushers.send(client.pusher()).unwrap();
        let service = service_fn(move |line: String| {
            let pusher = pusher.clone();
            async move {
                match &*line {
                    "slowly" => sleep(SECOND).await,
                    "more" => {
                        for i in 0..3 {
                            pusher.push(format!("part {i}")).await.unwrap();
                        }
                    }
                    _ => {}
                }
                Ok::<_, Infallible>(line)
            }
        });
        ready(Ok::<_, Infallible>((LinesCodec::new(), service)))
    });
    let (server, clients) = start(layer, make).await;
    let client = Client::new(&clients).await;
    let pusher = given.recv().await.unwrap();
    (server, client, pusher)
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_gets_what_is_pushed() {
    let (_server, mut client, pusher) = pushing(FramedMakeLayer::new()).await;
    for text in ["one", "two"] {
        sleep(3600 * SECOND).await;
        pusher.try_push(text.into()).unwrap();
        assert_eq!(client.line().await, text);
    }
}

#[tokio::test(start_paused = true)]
async fn frames_pushed_before_an_answer_is_ready_precede_it() {
    let (_server, mut client, pusher) = pushing(FramedMakeLayer::new()).await;
    client.send("slowly\n").await;
    sleep(SECOND / 2).await;
    pusher.try_push("meanwhile".into()).unwrap();
    assert_eq!(client.line().await, "meanwhile");
    assert_eq!(client.line().await, "slowly");
}

#[tokio::test(start_paused = true)]
async fn a_request_may_push_its_answer_in_parts_however_few_may_wait() {
    for pushes in [1, 2, 64] {
        let layer = FramedMakeLayer::new().pushes(pushes);
        let (_server, mut client, _) = pushing(layer).await;
        client.send("x\nmore\ny\n").await;
        for line in ["x", "part 0", "part 1", "part 2", "more", "y"] {
            assert_eq!(client.line().await, line, "{pushes}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn for_a_client_that_does_not_read_no_more_waits_than_may() {
    let layer = FramedMakeLayer::new().pushes(8).write_timeout(None);
    let (_server, mut client, pusher) = pushing(layer).await;
    let text = "x".repeat(1024);
    let mut pushed = 0;
    let last = loop {
        // Give the connection time to write as much as it can.
        sleep(Duration::from_millis(1)).await;
        match pusher.try_push(text.clone()) {
            Ok(()) => pushed += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(last, PushError::Full(back) if back == text));
    // 64 KiB in the pipe, 64 KiB waiting for it, and eight in the queue.
    assert!((128..=64 + 65 + 8).contains(&pushed), "{pushed}");

    let began = Instant::now();
    let pushing = async { pusher.push("last".into()).await.unwrap() };
    let reading = async {
        sleep(SECOND).await;
        for _ in 0..pushed {
            assert_eq!(client.line().await, text);
        }
        assert_eq!(client.line().await, "last");
    };
    tokio::join!(pushing, reading);
    assert!(began.elapsed() >= SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_gone_is_pushed_nothing() {
    let layer = FramedMakeLayer::new().pushes(1);
    let (server, client, pusher) = pushing(layer).await;
    assert!(!pusher.is_closed());
    drop(client);
    server.ends.of(1).await;
    assert!(pusher.is_closed());
    assert!(matches!(
        pusher.try_push("x".into()),
        Err(PushError::Closed(_))
    ));
    assert!(matches!(
        pusher.push("x".into()).await,
        Err(PushError::Closed(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn pushes_do_not_keep_a_drain_from_its_end() {
    let (server, mut client, pusher) = pushing(FramedMakeLayer::new()).await;
    pusher.try_push("news".into()).unwrap();
    let report = async {
        let report = server.drain(60 * SECOND).await;
        (report.finished, report.aborted)
    };
    let reading = async {
        let rest = client.rest().await;
        drop(client);
        rest
    };
    let (report, rest) = tokio::join!(report, reading);
    assert_eq!((report, &*rest), ((1, 0), "news\n"));
}
