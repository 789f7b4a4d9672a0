//! `HttpLayer`: serving, limits and ends.

mod drain;
mod hostile;
mod limits;
mod serving;
mod stalls;
mod streams;
mod unread;
mod upgrades;

use crate::support::{Ends, LONG, Served};
use reagent::{
    BoxIo, ConnectionService, Server,
    testing::{Clients, MemoryListener},
};
use reagent_layers::http::{Http, HttpLayer};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tower_layer::Layer;

pub const SECOND: Duration = Duration::from_secs(1);

/// Starts a server in memory.
pub async fn start<S>(layer: HttpLayer, service: S) -> (Served, Clients)
where
    Http<S>: Clone + ConnectionService<BoxIo>,
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

/// Waits for something that has to happen. On any clock, a thousand times [`LONG`] is enough.
pub async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LONG * 1000, future)
        .await
        .expect("it hangs")
}

/// An HTTP/1 response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// An HTTP/1 client that sends raw bytes.
pub struct Raw<Io = DuplexStream>(pub Io);

impl<Io: AsyncRead + AsyncWrite + Unpin> Raw<Io> {
    pub async fn send(&mut self, text: &str) {
        in_time(self.0.write_all(text.as_bytes())).await.unwrap();
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: here\r\n\r\n"))
            .await;
        self.answer().await.unwrap()
    }

    /// Reads the next response. Its body must have a `content-length`.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(in_time(self.0.read_u8()).await?);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        in_time(self.0.read_exact(&mut body)).await?;
        Ok(Answer {
            status: head[9..12].parse().unwrap(),
            head,
            body: String::from_utf8(body).unwrap(),
        })
    }

    /// Reads to the end.
    pub async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        in_time(self.0.read_to_end(&mut rest)).await.unwrap();
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// A counter shared by its clones.
#[derive(Clone, Debug, Default)]
pub struct Count(Arc<AtomicUsize>);

impl Count {
    pub fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub fn now(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Counts one more until it is dropped.
pub struct Present(Count);

impl Count {
    pub fn enter(&self) -> Present {
        self.add();
        Present(self.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An HTTP/2 client, and the task that drives its connection.
pub struct H2 {
    pub requests: h2::client::SendRequest<bytes::Bytes>,
    pub connection: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl H2 {
    pub async fn new<Io>(io: Io) -> Self
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (requests, connection) = in_time(h2::client::handshake(io)).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "a client's own task")]
        let connection = tokio::spawn(connection);
        H2 {
            requests,
            connection,
        }
    }

    /// Sends a request without a body.
    pub async fn send(&mut self, path: &str) -> h2::client::ResponseFuture {
        let request = ::http::Request::get(format!("http://here{path}"))
            .body(())
            .unwrap();
        let mut requests = in_time(self.requests.clone().ready()).await.unwrap();
        requests.send_request(request, true).unwrap().0
    }

    pub async fn get(&mut self, path: &str) -> Result<(u16, String), h2::Error> {
        let response = self.send(path).await;
        answer(response).await
    }
}

pub async fn answer(response: h2::client::ResponseFuture) -> Result<(u16, String), h2::Error> {
    let response = in_time(response).await?;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut text = String::new();
    while let Some(data) = in_time(body.data()).await {
        let data = data?;
        let _ = body.flow_control().release_capacity(data.len());
        text.push_str(std::str::from_utf8(&data).unwrap());
    }
    Ok((status, text))
}
