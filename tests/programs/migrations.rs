//! `examples/migrations`, with clients that stop the servers of `before` and not those of `after`.

use crate::{
    program::{Example, binary},
    support::{soon, until},
};
use reagent::BoxError;
use std::{
    fs::{self, File},
    future::Future,
    io,
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::Command,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore},
};

/// The time after which a client counts as stalled.
const STALL: Duration = Duration::from_millis(500);
/// The number of silent clients. At 5 s each, they would stall a loop for longer than a test waits.
const SILENT: usize = 8;

/// Starts half of a server with the additional arguments `args`.
async fn start(server: &str, half: &str, args: &[&str]) -> Example {
    let mut command = Command::new(binary("migrations"));
    command.args([server, half, "--listen", "127.0.0.1:0"]);
    command.args(args).env("RUST_LOG", "off");
    Example::start_with("migrations", &mut command).await
}

/// Connects clients that send nothing.
async fn silent_clients(example: &Example) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(example.connect().await);
    }
    silent
}

/// Asserts that a client is not served while silent clients are connected, and that it is once they
/// have left.
async fn assert_stalled(silent: Vec<TcpStream>, client: impl Future<Output = io::Result<()>>) {
    tokio::pin!(client);
    let served = timeout(STALL, &mut client).await;
    assert!(served.is_err(), "served beside silent clients");
    drop(silent);
    soon(client).await.unwrap();
}

/// Runs a program. Prints a message and returns `None` if it is not installed.
async fn run(program: &str, args: &[&str]) -> Option<Output> {
    match soon(Command::new(program).args(args).output()).await {
        Ok(output) => Some(output),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            crate::skipped::skipped(format!("{program} is not installed"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A certificate for the broker, in files.
struct Certificate {
    dir: TempDir,
    client: Arc<ClientConfig>,
}

impl Certificate {
    fn new() -> Result<Self, BoxError> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names)?;
        let dir = TempDir::new()?;
        fs::write(dir.path().join("cert.pem"), made.cert.pem())?;
        fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let client = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Arc::new(client);
        Ok(Certificate { dir, client })
    }

    fn path(&self, file: &str) -> String {
        self.dir.path().join(file).to_str().unwrap().to_owned()
    }

    async fn broker(&self, half: &str) -> Example {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        start("mqtt", half, &["--tls-cert", &cert, "--tls-key", &key]).await
    }

    /// Connects to a broker, sends a ping, and disconnects.
    async fn ping(&self, broker: &Example) -> io::Result<()> {
        let connector = TlsConnector::from(self.client.clone());
        let name = "localhost".try_into().unwrap();
        let mut client = connector.connect(name, broker.connect().await).await?;
        // CONNECT of MQTT 3.1.1, with a keep-alive of 60 s and the client identifier `me`.
        let connect = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02me";
        client.write_all(connect).await?;
        client.write_all(&[0xc0, 0]).await?;
        let mut answers = [0; 6];
        client.read_exact(&mut answers).await?;
        assert_eq!(answers, [0x20, 2, 0, 0, 0xd0, 0]);
        client.write_all(&[0xe0, 0]).await?;
        client.shutdown().await
    }
}

#[tokio::test]
async fn before_silent_clients_stall_the_mqtt_broker() -> Result<(), BoxError> {
    let certificate = Certificate::new()?;
    let broker = certificate.broker("before").await;
    certificate.ping(&broker).await?;
    let silent = silent_clients(&broker).await;
    assert_stalled(silent, certificate.ping(&broker)).await;
    Ok(())
}

#[tokio::test]
async fn after_silent_clients_delay_nobody_in_the_mqtt_broker() -> Result<(), BoxError> {
    let certificate = Certificate::new()?;
    let broker = certificate.broker("after").await;
    let silent = silent_clients(&broker).await;
    soon(certificate.ping(&broker)).await?;
    drop(silent);
    broker.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn mosquitto_clients_publish_and_subscribe_in_both_halves() -> Result<(), BoxError> {
    let certificate = Certificate::new()?;
    let ca = certificate.path("cert.pem");
    for half in ["before", "after"] {
        let broker = certificate.broker(half).await;
        let (host, port) = broker.addr.split_once(':').unwrap();
        let to = ["-h", host, "-p", port, "--cafile", &ca];
        let mut subscriber = Command::new("mosquitto_sub");
        // It ends after the first message.
        subscriber.args(to).args(["-C", "1", "-t", "rooms/+/light"]);
        subscriber.stdout(Stdio::piped()).kill_on_drop(true);
        let subscriber = match subscriber.spawn() {
            Ok(subscriber) => subscriber,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                crate::skipped::skipped("mosquitto_sub is not installed");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        // Nothing shows when it is subscribed, so messages are published until it has one.
        let publishing = async {
            loop {
                for topic in ["rooms/hall/heat", "rooms/hall/light"] {
                    let message = [&to[..], &["-t", topic, "-m", topic]].concat();
                    let output = run("mosquitto_pub", &message).await.expect("one package");
                    assert!(output.status.success(), "{half}: {output:?}");
                }
            }
        };
        let received = tokio::select! {
            output = soon(subscriber.wait_with_output()) => output?.stdout,
            () = publishing => unreachable!("it never ends"),
        };
        assert_eq!(received, b"rooms/hall/light\n", "{half}");
    }
    Ok(())
}

/// A session of a PostgreSQL client.
struct Session(BufReader<TcpStream>);

impl Session {
    /// Asks for TLS, which is refused, and starts a session.
    async fn start(addr: &str) -> io::Result<Self> {
        let mut session = Session(BufReader::new(TcpStream::connect(addr).await?));
        session.0.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").await?;
        assert_eq!(session.0.read_u8().await?, b'N');
        session
            .0
            .write_all(b"\0\0\0\x11\0\x03\0\0user\0me\0\0")
            .await?;
        session.result().await?;
        Ok(session)
    }

    /// Sends a query. Returns the only field of its result.
    async fn query(&mut self, text: &str) -> io::Result<String> {
        self.0.write_u8(b'Q').await?;
        self.0.write_u32(text.len() as u32 + 5).await?;
        self.0.write_all(text.as_bytes()).await?;
        self.0.write_u8(0).await?;
        self.result().await
    }

    /// Reads messages up to ReadyForQuery. Returns the field of a DataRow.
    async fn result(&mut self) -> io::Result<String> {
        let mut field = String::new();
        loop {
            let kind = self.0.read_u8().await?;
            let mut body = vec![0; self.0.read_u32().await? as usize - 4];
            self.0.read_exact(&mut body).await?;
            match kind {
                b'D' => field = String::from_utf8_lossy(&body[6..]).into_owned(),
                b'Z' => return Ok(field),
                _ => {}
            }
        }
    }
}

/// Starts half of the pooler with 40 descriptors, and more clients than these: one with a session,
/// and a crowd that sends nothing. The log goes to a file in `dir`.
async fn crowded_pooler(half: &str, dir: &TempDir) -> (Example, Session, Vec<TcpStream>) {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 40 && exec \"$0\" \"$@\""]);
    command.arg(binary("migrations"));
    command.args(["postgres", half, "--listen", "127.0.0.1:0"]);
    command.stderr(File::create(dir.path().join("log")).unwrap());
    let pooler = Example::start_with("migrations", &mut command).await;
    let mut session = soon(Session::start(&pooler.addr)).await.unwrap();
    assert_eq!(soon(session.query("one")).await.unwrap(), "one");
    let mut crowd = Vec::new();
    for _ in 0..60 {
        // The server may have ended before all have come.
        crowd.extend(TcpStream::connect(&pooler.addr).await);
    }
    (pooler, session, crowd)
}

#[tokio::test]
async fn before_a_crowd_ends_the_pooler_and_its_sessions() -> Result<(), BoxError> {
    let dir = TempDir::new()?;
    let (mut pooler, mut session, _crowd) = crowded_pooler("before", &dir).await;
    let status = soon(pooler.process.wait()).await?;
    assert!(!status.success(), "{status}");
    let log = fs::read_to_string(dir.path().join("log"))?;
    assert!(log.contains("Too many open files"), "{log}");
    assert!(soon(session.query("two")).await.is_err());
    assert!(TcpStream::connect(&pooler.addr).await.is_err());
    Ok(())
}

#[tokio::test]
async fn after_a_crowd_ends_neither_the_pooler_nor_its_sessions() -> Result<(), BoxError> {
    let dir = TempDir::new()?;
    let (pooler, mut session, crowd) = crowded_pooler("after", &dir).await;
    let log = dir.path().join("log");
    until("descriptors have run out", || {
        fs::read_to_string(&log).is_ok_and(|log| log.contains("Too many open files"))
    })
    .await;
    assert_eq!(soon(session.query("two")).await?, "two");
    drop(crowd);
    until("descriptors are there again", || {
        fs::read_to_string(&log).is_ok_and(|log| log.contains("clients can be served again"))
    })
    .await;
    let mut new = soon(Session::start(&pooler.addr)).await?;
    assert_eq!(soon(new.query("three")).await?, "three");
    drop((session, new));
    pooler.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn after_clients_above_the_limit_wait_for_a_place_in_the_pooler() -> io::Result<()> {
    let pooler = start("postgres", "after", &["--max-clients", "2"]).await;
    let first = soon(Session::start(&pooler.addr)).await?;
    let second = soon(Session::start(&pooler.addr)).await?;
    let mut third = Box::pin(Session::start(&pooler.addr));
    assert!(timeout(STALL, &mut third).await.is_err(), "above the limit");
    drop(first);
    let mut third = soon(third).await?;
    assert_eq!(soon(third.query("three")).await?, "three");
    drop((second, third));
    pooler.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn psql_queries_both_halves() {
    for half in ["before", "after"] {
        let pooler = start("postgres", half, &[]).await;
        let (host, port) = pooler.addr.split_once(':').unwrap();
        let to = format!("host={host} port={port} user=me dbname=mine connect_timeout=10");
        let Some(output) = run("psql", &[&to, "-At", "-c", "select 42"]).await else {
            return;
        };
        assert_eq!(output.stdout, b"select 42\n", "{half}: {output:?}");
        pooler.stop("TERM").await;
    }
}

/// Asks for the status of a Minecraft server as a proxy does for a player.
async fn status(server: &Example) -> io::Result<()> {
    let mut client = server.connect().await;
    // The PROXY header, a handshake for `localhost:25565`, and a request for the status.
    let opening = b"PROXY TCP4 192.0.2.7 127.0.0.1 56324 25565\r\n\
        \x10\x00\xff\x05\x09localhost\x63\xdd\x01\x01\x00";
    client.write_all(opening).await?;
    let len = client.read_u8().await?;
    let mut answer = vec![0; len.into()];
    client.read_exact(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("hello, 192.0.2.7:56324"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn before_silent_clients_stall_the_minecraft_server() -> io::Result<()> {
    let server = start("minecraft", "before", &[]).await;
    status(&server).await?;
    let silent = silent_clients(&server).await;
    assert_stalled(silent, status(&server)).await;
    Ok(())
}

#[tokio::test]
async fn after_silent_clients_delay_nobody_in_the_minecraft_server() -> io::Result<()> {
    let server = start("minecraft", "after", &[]).await;
    let silent = silent_clients(&server).await;
    soon(status(&server)).await?;
    drop(silent);
    server.stop("TERM").await;
    Ok(())
}

#[tokio::test]
async fn after_players_come_only_through_trusted_proxies() -> io::Result<()> {
    let server = start("minecraft", "after", &["--trust", "192.0.2.0/24"]).await;
    assert!(soon(status(&server)).await.is_err());
    server.stop("TERM").await;
    Ok(())
}
