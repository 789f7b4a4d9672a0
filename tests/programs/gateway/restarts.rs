//! Restarts without losing a client: gateways replace one another while clients connect to them over
//! TCP, over a Unix socket, and with TLS. Each client must be connected, served, and disconnected in
//! order.
//!
//! `REAGENT_RESTARTS=full` makes 100 restarts and a million connections.

use super::{config::Files, in_time};
use crate::{
    port::Port,
    program::{Example, binary},
};
use reagent::{Connection, Server, handle};
use std::{
    io,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    process::Command,
    task::JoinSet,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, HandshakeKind, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

/// The number of clients of each kind that connect at the same time.
const TCP: usize = 4;
const UNIX: usize = 4;

struct Clients {
    is_over: AtomicBool,
    served: AtomicU64,
    resumed: AtomicU64,
}

impl Clients {
    /// Exchanges a message and closes in order.
    async fn exchange(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let mut stream = stream;
        stream.write_all(b"hello").await?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await?;
        assert_eq!(&answer, b"hello");
        stream.shutdown().await?;
        match stream.read(&mut answer).await? {
            0 => self.served.fetch_add(1, Relaxed),
            _ => panic!("bytes that nobody has sent"),
        };
        Ok(())
    }

    async fn tcp(self: Arc<Self>, addr: String) {
        while !self.is_over.load(Relaxed) {
            let client = async { self.exchange(TcpStream::connect(&addr).await?).await };
            in_time(client).await.expect("a client of TCP to be served");
        }
    }

    async fn unix(self: Arc<Self>, path: String) {
        while !self.is_over.load(Relaxed) {
            let client = async { self.exchange(UnixStream::connect(&path).await?).await };
            let served = in_time(client).await;
            served.expect("a client of the Unix socket to be served");
        }
    }

    /// One client after the other, so that each has the ticket of the one before.
    async fn tls(self: Arc<Self>, addr: String, connector: TlsConnector) {
        let mut is_first = true;
        while !self.is_over.load(Relaxed) {
            let client = async {
                let stream = TcpStream::connect(&addr).await?;
                let name = ServerName::try_from("localhost").unwrap();
                let stream = connector.connect(name, stream).await?;
                let kind = stream.get_ref().1.handshake_kind();
                if !is_first {
                    assert_eq!(kind, Some(HandshakeKind::Resumed));
                    self.resumed.fetch_add(1, Relaxed);
                }
                self.exchange(stream).await
            };
            in_time(client).await.expect("a client of TLS to be served");
            is_first = false;
        }
    }
}

fn connector(cert: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(cert).unwrap())
        .unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    Arc::new(config.with_no_client_auth()).into()
}

async fn echo(mut conn: Connection) -> io::Result<()> {
    let mut buf = [0; 64];
    loop {
        match conn.read(&mut buf).await? {
            0 => return conn.shutdown().await,
            n => conn.write_all(&buf[..n]).await?,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_is_lost_over_restarts_under_load() {
    let is_full = std::env::var("REAGENT_RESTARTS").is_ok_and(|value| value == "full");
    let (restarts, connections) = match is_full {
        true => (100, 1_000_000),
        false => (20, 50_000),
    };
    let upstream = Server::bind("127.0.0.1:0")
        .start(handle(echo))
        .await
        .unwrap();
    let ports = [Port::new(), Port::new()];
    let [plain, tls] = ports.each_ref().map(Port::addr);
    let (files, to) = (Files::new(""), upstream.local_addr());
    let (app, handover) = (files.path("app.sock"), files.path("handover.sock"));
    let config = format!(
        r#"
        handover = "{handover}"
        to = "{to}"

        [[listener]]
        listen = ["{plain}", "{app}"]

        [[listener]]
        listen = "{tls}"
        tls-cert = "cert.pem"
        tls-key = "key.pem"
        "#
    );
    files.write("gateway.toml", &config);
    files.certify("localhost");
    let start = async || {
        let mut command = Command::new(binary("gateway"));
        command.args(["--config", &files.path("gateway.toml"), "--threads", "1"]);
        Example::start_with(
            "gateway",
            command.stdin(Stdio::null()).stderr(Stdio::null()),
        )
        .await
    };
    let mut gateway = start().await;

    let clients = Arc::new(Clients {
        is_over: AtomicBool::new(false),
        served: AtomicU64::new(0),
        resumed: AtomicU64::new(0),
    });
    let mut tasks = JoinSet::new();
    for _ in 0..TCP {
        tasks.spawn(clients.clone().tcp(plain.to_string()));
    }
    for _ in 0..UNIX {
        tasks.spawn(clients.clone().unix(app.clone()));
    }
    let connector = connector(&files.path("cert.pem"));
    tasks.spawn(clients.clone().tls(tls.to_string(), connector));

    for restart in 1..=restarts {
        while clients.served.load(Relaxed) < connections * restart / restarts {
            if let Some(ended) = tasks.try_join_next() {
                ended.unwrap();
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let successor = start().await;
        gateway.ended().await;
        gateway = successor;
    }
    clients.is_over.store(true, Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert!(clients.served.load(Relaxed) >= connections);
    assert!(clients.resumed.load(Relaxed) > restarts);
    gateway.stop("TERM").await;
}
