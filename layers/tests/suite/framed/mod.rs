//! `FramedLayer`: requests are read and answered in order, and everything is bounded.

mod answers;
mod ends;
mod limits;
mod push;
mod requests;
mod serving;

use crate::support::{Ends, LONG, Served};
use reagent::{
    BoxError, ConnectionService, Outcome, Server,
    testing::{Clients, MemoryListener},
};
use reagent_layers::framed::{FramedLayer, codec::LinesCodec};
use std::time::Duration;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream},
    time::timeout,
};
use tower::Layer;

const SECOND: Duration = Duration::from_secs(1);

/// Decodes and encodes lines.
type Lines = FramedLayer<LinesCodec, String>;

fn lines() -> Lines {
    FramedLayer::new(LinesCodec::new())
}

async fn start<L, S>(layer: L, service: S) -> (Served, Clients)
where
    L: Layer<S>,
    L::Service: Clone + ConnectionService,
{
    let (listener, clients) = MemoryListener::new();
    let ends = Ends::default();
    let server = Server::new(listener)
        .observe(ends.clone())
        .start(layer.layer(service))
        .await
        .unwrap();
    (Served { server, ends }, clients)
}

/// Echoes the line.
async fn same(line: String) -> Result<String, BoxError> {
    Ok(line)
}

/// Answers after the number of milliseconds in the line. Any other line fails.
async fn after(line: String) -> Result<String, BoxError> {
    tokio::time::sleep(Duration::from_millis(line.parse()?)).await;
    Ok(line)
}

/// A client that exchanges lines.
struct Client(BufReader<DuplexStream>);

impl Client {
    async fn new(clients: &Clients) -> Self {
        Client(BufReader::new(clients.connect().await.unwrap()))
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let reading = self.0.read_line(&mut line);
        timeout(LONG * 1000, reading).await.unwrap().unwrap();
        line.trim_end().to_owned()
    }

    async fn rest(&mut self) -> String {
        let mut text = String::new();
        let reading = self.0.read_to_string(&mut text);
        timeout(LONG * 1000, reading).await.unwrap().unwrap();
        text
    }
}

fn failed(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(error) => error.to_string(),
        other => panic!("{other}"),
    }
}
