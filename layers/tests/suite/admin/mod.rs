//! The admin interface, over HTTP.

mod hostile;
mod mounting;
mod reading;
mod refusals;
mod writing;

use crate::{
    http::{Answer, Raw, in_time},
    support::{echoes, until},
};
use reagent::{
    Connection, ConnectionHandle, Server, ServerHandle,
    testing::{Clients, MemoryListener},
};
use reagent_layers::{admin::Admin, http::HttpLayer};
use std::{io, net::SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

/// Echoes until the client leaves or the server drains.
async fn serve(mut conn: Connection) -> io::Result<()> {
    let mut buf = [0; 1024];
    let draining = conn.draining();
    tokio::pin!(draining);
    loop {
        tokio::select! {
            read = conn.read(&mut buf) => match read? {
                0 => return Ok(()),
                n => conn.write_all(&buf[..n]).await?,
            },
            () = &mut draining => return Ok(()),
        }
    }
}

/// A server with its admin interface on another one.
pub struct Watched {
    pub admin: Admin,
    pub server: ServerHandle,
    pub clients: Clients,
    _page: ServerHandle,
    pub browsers: Clients,
}

impl Watched {
    pub async fn new() -> Self {
        Self::with(Admin::new()).await
    }

    pub async fn with(admin: Admin) -> Self {
        let (listener, clients) = MemoryListener::new();
        let server = Server::new(listener).start(reagent::handle(serve));
        let server = server.await.unwrap();
        let (listener, browsers) = MemoryListener::new();
        let page = Server::new(listener)
            .layer(HttpLayer::new())
            .start(admin.clone())
            .await
            .unwrap();
        admin.attach(&server);
        Watched {
            admin,
            server,
            clients,
            _page: page,
            browsers,
        }
    }

    /// Connects a client with this address, which has sent and received `bytes` bytes.
    pub async fn client(&self, addr: &str, bytes: usize) -> (DuplexStream, ConnectionHandle) {
        let addr: SocketAddr = addr.parse().unwrap();
        let mut client = self.clients.connect_from(addr).await.unwrap();
        let find = || {
            let mut found = None;
            self.server.for_each_connection(|connection| {
                if *connection.peer_addr() == addr {
                    found = Some(connection.clone());
                }
            });
            found
        };
        until("the client is accepted", || find().is_some()).await;
        assert!(echoes(&mut client, &"x".repeat(bytes)).await);
        (client, find().unwrap())
    }

    /// Opens a connection of a local browser.
    pub async fn browser(&self) -> Raw {
        self.browser_at("127.0.0.1:5000").await
    }

    pub async fn browser_at(&self, addr: &str) -> Raw {
        let addr: SocketAddr = addr.parse().unwrap();
        Raw(in_time(self.browsers.connect_from(addr)).await.unwrap())
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", "").await
    }

    /// Sends a write as the page does.
    pub async fn write(&self, method: &str, path: &str, body: &str) -> Answer {
        self.send(method, path, "x-reagent-admin: 1\r\n", body)
            .await
    }

    /// Sends a request with these headers in addition to the usual ones.
    pub async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let headers = format!("host: localhost\r\n{headers}");
        send(&mut self.browser().await, method, path, &headers, body).await
    }
}

/// Sends a request with these headers and no others.
pub async fn send<Io: AsyncRead + AsyncWrite + Unpin>(
    to: &mut Raw<Io>,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Answer {
    let length = match body {
        "" => String::new(),
        body => format!("content-length: {}\r\n", body.len()),
    };
    to.send(&format!(
        "{method} {path} HTTP/1.1\r\n{headers}{length}\r\n{body}"
    ))
    .await;
    to.answer().await.unwrap()
}

pub trait AnswerExt {
    /// Returns the JSON of an answer with this status.
    fn json(&self, status: u16) -> serde_json::Value;

    /// Returns the message of a refusal with this status.
    fn error(&self, status: u16) -> String;

    fn header(&self, name: &str) -> Option<&str>;
}

impl AnswerExt for Answer {
    fn json(&self, status: u16) -> serde_json::Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_str(&self.body).unwrap()
    }

    fn error(&self, status: u16) -> String {
        let json = self.json(status);
        let fields = json.as_object().unwrap();
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["error"]);
        fields["error"].as_str().unwrap().to_owned()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value)
    }
}
