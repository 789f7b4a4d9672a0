//! A failed start leaves nothing behind, and a start that cannot work fails.

use crate::support::{beside, echo, soon};
use reagent::{
    Acceptor, BoxError, Error, Server, ServerHandle, handle,
    testing::{Clients, MemoryListener},
};
use std::{error::Error as _, future::Future, io, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    runtime::Builder,
    sync::Notify,
    task::JoinHandle,
};

/// Starts a server whose first acceptor is made, and whose second one waits for the test to make it
/// fail.
fn half_made() -> (
    JoinHandle<Result<ServerHandle, Error>>,
    Clients,
    Arc<Notify>,
) {
    let (listener, clients) = MemoryListener::new();
    let fail = Arc::new(Notify::new());
    let told = fail.clone();
    let make = tower::service_fn(move |acceptor: Acceptor| {
        let told = told.clone();
        async move {
            if acceptor.index > 0 {
                told.notified().await;
                return Err(BoxError::from("not made"));
            }
            Ok(handle(echo))
        }
    });
    let server = Server::new(listener).acceptors(2);
    (beside(server.start_make(make)), clients, fail)
}

/// Connects while the server starts. The client must not be served.
async fn early(clients: &Clients) -> DuplexStream {
    let mut client = clients.connect().await.unwrap();
    client.write_all(b"hello").await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(5), client.read_u8()).await;
    assert!(answer.is_err(), "served before the server has started");
    client
}

async fn nothing_is_left(mut client: DuplexStream, clients: &Clients) {
    let mut rest = Vec::new();
    let _ = soon(client.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"", "served by a server that has not started");
    let error = soon(clients.connect()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_serves_nobody() {
    let (start, clients, fail) = half_made();
    let client = early(&clients).await;
    fail.notify_one();
    let error = soon(start).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Make(_)), "{error}");
    nothing_is_left(client, &clients).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_cancelled_serves_nobody() {
    let (start, clients, _fail) = half_made();
    let client = early(&clients).await;
    start.abort();
    assert!(soon(start).await.unwrap_err().is_cancelled());
    nothing_is_left(client, &clients).await;
}

/// Returns the error of a start on this runtime, with all its sources, in lower case.
fn start_on(builder: &mut Builder) -> String {
    let start: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(Server::bind("127.0.0.1:0").start(handle(echo)));
    let result = builder.build().unwrap().block_on(start);
    let error = result.expect_err("a start that fails");
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text.to_lowercase()
}

#[test]
fn a_start_without_an_io_driver_names_it() {
    let text = start_on(Builder::new_current_thread().enable_time());
    assert!(text.contains("enable_io") || text.contains("i/o"), "{text}");
}

#[test]
fn a_start_without_a_time_driver_names_it() {
    let text = start_on(Builder::new_current_thread().enable_io());
    assert!(text.contains("time"), "{text}");
}
