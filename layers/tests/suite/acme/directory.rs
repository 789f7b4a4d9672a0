//! A directory server that answers as a test says.

use crate::tls::{pki::Ca, pki::Dir, running::localhost};
use reagent::{Connection, Server, ServerHandle, handle};
use std::{
    future::pending,
    io,
    sync::{Arc, Mutex},
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// An answer.
#[derive(Clone)]
pub enum Reply {
    /// The status, further headers, and the body.
    Answer(u16, String, String),
    /// A body that never ends.
    Endless,
    /// Nothing.
    Hang,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Reply::Answer(status, String::new(), body.into())
    }

    pub fn problem(status: u16, kind: &str) -> Self {
        let kind = format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}"}}"#);
        Reply::new(status, kind)
    }

    pub fn header(self, line: &str) -> Self {
        match self {
            Reply::Answer(status, headers, body) => {
                Reply::Answer(status, format!("{headers}{line}\r\n"), body)
            }
            other => other,
        }
    }
}

pub struct Directory {
    server: ServerHandle,
    requests: Arc<Mutex<Vec<String>>>,
    _dir: Dir,
}

/// Answers a request, such as `GET /dir`, at the server with this URL.
type Script = Arc<dyn Fn(&str, &str) -> Option<Reply> + Send + Sync>;

impl Directory {
    /// Starts a server. What `script` does not answer is answered as by an honest server, up to the
    /// new order, which is refused.
    pub async fn start(
        ca: &Ca,
        script: impl Fn(&str, &str) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let (dir, script) = (Dir::new(), Arc::new(script) as Script);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = requests.clone();
        let serve = move |conn: Connection| serve(conn, script.clone(), log.clone());
        let server = Server::bind("127.0.0.1:0").layer(localhost(&dir, ca));
        let server = server.start(handle(serve)).await.unwrap();
        Directory {
            server,
            requests,
            _dir: dir,
        }
    }

    pub fn port(&self) -> u16 {
        let addr = self.server.local_addr().clone();
        addr.port().unwrap()
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/dir", self.port())
    }

    /// Returns the number of requests of this kind.
    pub fn count(&self, request: &str) -> usize {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|known| *known == request).count()
    }
}

async fn serve(conn: Connection, script: Script, log: Arc<Mutex<Vec<String>>>) -> io::Result<()> {
    let mut conn = BufReader::new(conn);
    let (mut line, mut length, mut host) = (String::new(), 0, String::new());
    conn.read_line(&mut line).await?;
    loop {
        let mut header = String::new();
        conn.read_line(&mut header).await?;
        let (name, value) = header.trim().split_once(": ").unwrap_or_default();
        match name {
            "" => break,
            "content-length" => length = value.parse().unwrap(),
            "host" => host = format!("https://{value}"),
            _ => {}
        }
    }
    conn.read_exact(&mut vec![0; length]).await?;
    let request = line.rsplit_once(' ').unwrap_or_default().0.to_owned();
    let reply = script(&request, &host).unwrap_or_else(|| honest(&request, &host));
    log.lock().unwrap().push(request.clone());
    let (status, headers, body) = match reply {
        Reply::Answer(status, headers, body) => (status, headers, body),
        Reply::Hang => return pending().await,
        Reply::Endless => {
            conn.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
                .await?;
            loop {
                conn.write_all(&[b'x'; 4096]).await?;
            }
        }
    };
    let answer = format!(
        "HTTP/1.1 {status} Status\r\nreplay-nonce: bm9uY2U\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    conn.write_all(answer.as_bytes()).await?;
    if !request.starts_with("HEAD") {
        conn.write_all(body.as_bytes()).await?;
    }
    conn.shutdown().await
}

/// Answers as an honest server.
fn honest(request: &str, host: &str) -> Reply {
    match request {
        "GET /dir" => Reply::new(
            200,
            format!(
                r#"{{"newNonce":"{host}/nonce","newAccount":"{host}/account",
                "newOrder":"{host}/order","renewalInfo":"{host}/renewal"}}"#
            ),
        ),
        "HEAD /nonce" => Reply::new(200, ""),
        "POST /account" => {
            Reply::new(201, r#"{"status":"valid"}"#).header(&format!("location: {host}/account/1"))
        }
        _ => Reply::problem(403, "unauthorized"),
    }
}
