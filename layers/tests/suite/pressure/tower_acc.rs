//! The crate `tower-acc`, unmodified, around the requests of HTTP and framed connections.

use crate::{http::Raw, pressure::SECOND};
use axum::{Router, routing::get};
use reagent::{
    BoxError, ConnectionService, Server, ServerHandle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{
    framed::{FramedLayer, codec::LinesCodec},
    http::HttpLayer,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    time::sleep,
};
use tower::{Layer, service_fn};
use tower_acc::{Aimd, ConcurrencyLimitLayer};

/// Starts at 5 requests, and stays within 2 and 8.
fn limit() -> ConcurrencyLimitLayer<Aimd> {
    let aimd = Aimd::builder();
    let aimd = aimd.initial_limit(5).min_limit(2).max_limit(8);
    ConcurrencyLimitLayer::new(aimd.build())
}

/// The requests in a service, now and at most.
#[derive(Clone, Default)]
struct Inside(Arc<[AtomicUsize; 2]>);

impl Inside {
    async fn serve(&self, time: Duration) {
        let now = self.0[0].fetch_add(1, SeqCst) + 1;
        self.0[1].fetch_max(now, SeqCst);
        sleep(time).await;
        self.0[0].fetch_sub(1, SeqCst);
    }

    fn most(&self) -> usize {
        self.0[1].swap(0, SeqCst)
    }
}

async fn start(service: impl ConnectionService + Clone + Sync) -> (ServerHandle, Clients) {
    let (listener, clients) = MemoryListener::new();
    let server = Server::new(listener).start(service).await.unwrap();
    (server, clients)
}

#[tokio::test(start_paused = true)]
async fn http_requests_wait_for_an_adaptive_limit() {
    let inside = Inside::default();
    let served = inside.clone();
    let router = Router::new().route(
        "/",
        get(move || async move {
            served.serve(SECOND / 100).await;
            "hello"
        }),
    );
    let http = HttpLayer::new().layer(limit().layer(router));
    let (_server, clients) = start(http).await;
    let all = async |count: usize| {
        let mut open = Vec::new();
        for _ in 0..count {
            let mut client = Raw(clients.connect().await.unwrap());
            client.send("GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
            open.push(client);
        }
        for client in &mut open {
            assert_eq!(client.answer().await.unwrap().body, "hello");
        }
    };
    all(20).await;
    assert!((5..=8).contains(&inside.most()));
    all(60).await;
    assert_eq!(inside.most(), 8, "it has grown to its maximum");
    assert_eq!(inside.0[0].load(SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn framed_requests_wait_for_an_adaptive_limit_which_failures_lower() {
    let inside = Inside::default();
    let served = inside.clone();
    let service = service_fn(move |line: String| {
        let served = served.clone();
        async move {
            served.serve(SECOND / 100).await;
            if line == "fail" {
                Err(BoxError::from("on purpose"))
            } else {
                Ok(line)
            }
        }
    });
    let framed = FramedLayer::<_, String>::new(LinesCodec::new());
    let (_server, clients) = start(framed.layer(limit().layer(service))).await;
    let all = async |count: usize, line: &str| {
        let mut open = Vec::new();
        for _ in 0..count {
            let mut client = BufReader::new(clients.connect().await.unwrap());
            client
                .write_all(format!("{line}\n").as_bytes())
                .await
                .unwrap();
            open.push(client);
        }
        for client in &mut open {
            let mut answer = String::new();
            client.read_line(&mut answer).await.unwrap();
            assert!(line == "fail" || answer.trim_end() == line);
        }
    };
    all(60, "hello").await;
    assert_eq!(inside.most(), 8, "it has grown to its maximum");
    all(40, "fail").await;
    inside.most();
    all(6, "hello").await;
    assert!(
        inside.most() <= 4,
        "it was lowered to 2, and grows by 1 for each answer"
    );
}
