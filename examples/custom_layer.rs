//! Two custom layers: an upgrade, which replaces the stream of a connection, and a layer around the
//! handler, which sees it start and end.
//!
//! Run it with `cargo run --example custom_layer`, and introduce yourself:
//! `printf 'I am Ada\nhow are you?\n' | nc 127.0.0.1 7000`. `--listen ADDR` sets the address;
//! Ctrl-C stops the server.

#[path = "common/mod.rs"]
mod common;

use pin_project_lite::pin_project;
use reagent::{BoxError, Connection, IoStream, Rejected, Server, Upgrade, UpgradeLayer};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tower::{Layer, Service};

/// An upgrade that reads the client's name from the first line, and rejects clients without one.
struct Introduction;

/// The name, which the upgrade leaves for the handler.
#[derive(Clone)]
struct Name(String);

impl<Io: IoStream> Upgrade<Io> for Introduction {
    // Reading may go past the first line, so the buffer replaces the stream and keeps the rest.
    type Io = BufStream<Io>;

    async fn upgrade(&self, conn: Connection<Io>) -> Result<Connection<Self::Io>, BoxError> {
        let mut conn = conn.map_io(BufStream::new);
        let mut line = String::new();
        // A client may send an endless line, so the length is bounded.
        conn.io_mut().take(80).read_line(&mut line).await?;
        let Some(name) = line.trim_end().strip_prefix("I am ") else {
            return Err(Rejected::new("no introduction").into());
        };
        let name = Name(name.to_owned());
        conn.label("name", name.0.clone());
        conn.extensions_mut().insert(name);
        Ok(conn)
    }

    fn name(&self) -> &'static str {
        "introduction"
    }
}

/// A layer that prints how long each connection took.
#[derive(Clone)]
struct StopwatchLayer;

impl<S> Layer<S> for StopwatchLayer {
    type Service = Stopwatch<S>;

    fn layer(&self, inner: S) -> Stopwatch<S> {
        Stopwatch { inner }
    }
}

#[derive(Clone)]
struct Stopwatch<S> {
    inner: S,
}

impl<S: Service<Connection<Io>>, Io> Service<Connection<Io>> for Stopwatch<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = StopwatchFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, conn: Connection<Io>) -> Self::Future {
        let (id, began) = (conn.id(), Instant::now());
        StopwatchFuture {
            inner: self.inner.call(conn),
            id,
            began,
        }
    }
}

pin_project! {
    struct StopwatchFuture<F> {
        #[pin]
        inner: F,
        id: u64,
        began: Instant,
    }
}

impl<F: Future> Future for StopwatchFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let output = ready!(this.inner.poll(cx));
        common::print(format_args!(
            "connection {} took {:?}",
            this.id,
            this.began.elapsed()
        ));
        Poll::Ready(output)
    }
}

async fn talk(mut conn: Connection) -> Result<(), BoxError> {
    let name = conn
        .extensions()
        .get::<Name>()
        .ok_or("the introduction is missing")?
        .0
        .clone();
    conn.write_all(format!("welcome, {name}\n").as_bytes())
        .await?;
    let mut buf = [0; 1024];
    while let n @ 1.. = conn.read(&mut buf).await? {
        conn.write_all(&buf[..n]).await?;
        conn.flush().await?;
    }
    conn.flush().await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listen = common::listen(
        "Two custom layers: an introduction and a stopwatch",
        "127.0.0.1:7000",
    );
    let signal = common::signal()?;
    let server = Server::bind(listen)
        .layer(StopwatchLayer)
        .layer(UpgradeLayer::new(Introduction).timeout(Duration::from_secs(30)))
        .start(reagent::handle(talk))
        .await?;
    common::print(format_args!("listening on {}", server.local_addr()));

    common::drain_on(&server, signal, Duration::from_secs(5)).await?;
    Ok(())
}
