//! Services of requests run unchanged, and know the connection of each request.

use super::{Count, H2, Raw, start};
use crate::support::until;
use ::http::{Request, Response};
use axum::{Extension, Router, body::Bytes, extract::ConnectInfo, routing::get, routing::post};
use http_body_util::Full;
use reagent::{Connection, Outcome, Server};
use reagent_layers::http::{HttpConnection, HttpLayer, RequestBody};
use std::{
    convert::Infallible,
    future::{Ready, pending, ready},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};
use tokio::net::TcpStream;
use tower::{ServiceBuilder, limit::ConcurrencyLimitLayer, service_fn};
use tower_service::Service;

async fn hello(_: Request<RequestBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("hello")))
}

#[tokio::test]
async fn a_function_and_a_stack_of_tower() {
    let stack = ServiceBuilder::new()
        .layer(ConcurrencyLimitLayer::new(1))
        .service(service_fn(hello));
    let (_server, clients) = start(HttpLayer::new(), stack).await;
    let mut client = Raw(clients.connect().await.unwrap());
    for _ in 0..3 {
        assert_eq!(client.get("/").await.body, "hello");
    }
}

#[tokio::test]
async fn an_axum_router_by_both_versions() {
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/echo", post(|body: Bytes| async { body }));
    let (server, clients) = start(HttpLayer::new(), router).await;

    let mut client = Raw(clients.connect().await.unwrap());
    assert_eq!(client.get("/").await.body, "hello");
    client
        .send("POST /echo HTTP/1.1\r\nhost: here\r\ncontent-length: 4\r\n\r\nback")
        .await;
    assert_eq!(client.answer().await.unwrap().body, "back");
    assert_eq!(client.get("/nowhere").await.status, 404);
    drop(client);
    assert!(matches!(server.ends.of(1).await, Outcome::Completed));

    let mut client = H2::new(clients.connect().await.unwrap()).await;
    assert_eq!(client.get("/").await.unwrap(), (200, "hello".into()));
    assert_eq!(client.get("/nowhere").await.unwrap().0, 404);
    drop(client.requests);
    client.connection.await.unwrap().unwrap();
    let outcome = server.ends.of(2).await;
    assert!(matches!(outcome, Outcome::Completed), "{outcome}");
}

#[tokio::test]
async fn however_the_network_cuts_it() {
    let (_server, clients) = start(HttpLayer::new(), service_fn(hello)).await;
    for text in [
        "GET / HTTP/1.1\r\nhost: here\r\n\r\n",
        // Starts like HTTP/2, but is HTTP/1.
        "PRI / HTTP/1.1\r\nhost: here\r\n\r\n",
    ] {
        let mut client = Raw(clients.connect().await.unwrap());
        for byte in text.chars() {
            client.send(&byte.to_string()).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.answer().await.unwrap().body, "hello", "{text}");
    }

    // All at once, which is more than fits into the first read.
    let mut client = Raw(clients.connect().await.unwrap());
    let long = format!("x: {}\r\n", "y".repeat(3000)).repeat(5);
    let one = format!("GET / HTTP/1.1\r\nhost: here\r\n{long}\r\n");
    client.send(&one.repeat(3)).await;
    for _ in 0..3 {
        assert_eq!(client.answer().await.unwrap().body, "hello");
    }
}

#[tokio::test(start_paused = true)]
async fn one_version_alone() {
    let (_server, clients) = start(HttpLayer::new().http1_only(), service_fn(hello)).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(client.rest().await, "");

    let (_server, clients) = start(HttpLayer::new().http2_only(), service_fn(hello)).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client.send("GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
    assert!(!client.rest().await.contains("HTTP/1.1"));
    let mut client = H2::new(clients.connect().await.unwrap()).await;
    assert_eq!(client.get("/").await.unwrap().1, "hello");
}

#[tokio::test]
async fn requests_know_their_connection() {
    #[derive(Clone)]
    struct Mine(u64);

    let router = Router::new().route(
        "/",
        get(
            |ConnectInfo(peer): ConnectInfo<SocketAddr>,
             Extension(connection): Extension<HttpConnection>,
             Extension(Mine(mine)): Extension<Mine>| async move {
                let handle = connection.handle();
                assert_eq!(handle.peer_addr().socket_addr(), Some(peer));
                assert_eq!(connection.get::<u8>(), Some(&7));
                format!("{} {peer} {mine}", handle.id())
            },
        ),
    );
    let layer = HttpLayer::new()
        .connect_info(ConnectInfo)
        .extensions(|connection, extensions| {
            extensions.insert(Mine(connection.handle.id() * 10));
        });
    // Set by an outer layer.
    let server = Server::bind("127.0.0.1:0")
        .layer(tower::util::MapRequestLayer::new(|mut conn: Connection| {
            conn.extensions_mut().insert(7_u8);
            conn
        }))
        .layer(layer)
        .start(router)
        .await
        .unwrap();
    let addr = server.local_addr().socket_addr().unwrap();
    let client = TcpStream::connect(addr).await.unwrap();
    let me = client.local_addr().unwrap();
    let mut client = Raw(client);
    for _ in 0..2 {
        assert_eq!(client.get("/").await.body, format!("1 {me} 10"));
    }
    let client = TcpStream::connect(addr).await.unwrap();
    let me = client.local_addr().unwrap();
    let mut client = H2::new(client).await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.unwrap().1, format!("2 {me} 20"));
    }
}

/// Becomes ready when the test opens it, and only the instance that was polled.
struct Gate {
    open: Arc<AtomicBool>,
    ready: bool,
    asked: Count,
}

impl Clone for Gate {
    fn clone(&self) -> Self {
        Gate {
            open: self.open.clone(),
            ready: false,
            asked: self.asked.clone(),
        }
    }
}

impl Service<Request<RequestBody>> for Gate {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.asked.add();
        if !self.open.load(Ordering::SeqCst) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<RequestBody>) -> Self::Future {
        assert!(self.ready, "called without having been ready");
        ready(Ok(Response::new(Full::from("hello"))))
    }
}

#[tokio::test]
async fn each_request_waits_for_the_service_to_be_ready() {
    let gate = Gate {
        open: Arc::default(),
        ready: false,
        asked: Count::default(),
    };
    let (_server, clients) = start(HttpLayer::new(), gate.clone()).await;
    let mut one = Raw(clients.connect().await.unwrap());
    let mut two = H2::new(clients.connect().await.unwrap()).await;
    // A connection without requests does not poll readiness.
    assert_eq!(gate.asked.now(), 0);
    let asking = async {
        until("it was asked", || gate.asked.now() > 2).await;
        gate.open.store(true, Ordering::SeqCst);
    };
    let (one, two, ()) = tokio::join!(one.get("/"), two.get("/"), asking);
    assert_eq!((one.body, two.unwrap().1), ("hello".into(), "hello".into()));
}

#[tokio::test]
async fn options_of_hyper_are_within_reach() {
    let layer = HttpLayer::new()
        .http1(|http1| {
            http1.title_case_headers(true).auto_date_header(false);
        })
        .http2(|http2| {
            http2.auto_date_header(false).max_frame_size(20_000);
        });
    let (_server, clients) = start(layer, service_fn(hello)).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client
        .send("GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n")
        .await;
    let answer = client.rest().await;
    assert!(
        answer.contains("Content-Length: 5") && !answer.contains("Date"),
        "{answer}"
    );
    let mut client = H2::new(clients.connect().await.unwrap()).await;
    let response = client.send("/").await.await.unwrap();
    assert!(!response.headers().contains_key("date"));
}

#[tokio::test]
async fn an_error_of_the_service_is_the_connections_end() {
    let failing = service_fn(|_: Request<RequestBody>| async {
        Err::<Response<Full<Bytes>>, _>(std::io::Error::other("no"))
    });
    let (server, clients) = start(HttpLayer::new(), failing).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client.send("GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
    assert_eq!(client.rest().await, "");
    assert!(matches!(server.ends.of(1).await, Outcome::Failed(_)));

    // With HTTP/2, this ends one stream.
    let mut client = H2::new(clients.connect().await.unwrap()).await;
    for _ in 0..2 {
        assert!(client.get("/").await.unwrap_err().is_reset());
    }
}

#[tokio::test]
async fn a_client_that_leaves_half_way_has_failed_and_its_request_is_dropped() {
    let present = Count::default();
    let service = {
        let present = present.clone();
        service_fn(move |_: Request<RequestBody>| {
            let present = present.enter();
            async move {
                let _present = present;
                pending::<Result<Response<Full<Bytes>>, Infallible>>().await
            }
        })
    };
    let (server, clients) = start(HttpLayer::new(), service).await;
    let mut client = Raw(clients.connect().await.unwrap());
    client.send("GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
    until("it is served", || present.now() == 1).await;
    drop(client);
    assert!(matches!(server.ends.of(1).await, Outcome::Failed(_)));
    assert_eq!(present.now(), 0);
}

#[tokio::test]
async fn the_address_of_an_ipv4_client_is_one_of_ipv4() {
    let peer = get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() });
    let Ok(server) = Server::bind("[::]:0")
        .layer(HttpLayer::new().connect_info(ConnectInfo))
        .start(Router::new().route("/", peer))
        .await
    else {
        return;
    };
    let port = server.local_addr().socket_addr().unwrap().port();
    let Ok(client) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let me = client.local_addr().unwrap();
    assert_eq!(Raw(client).get("/").await.body, me.to_string());
}
