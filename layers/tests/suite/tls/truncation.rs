//! Clients that end their stream without `close_notify`: their data arrives, they receive their
//! response, and the outcome reports it.

use super::{
    pki::{BOTH, Ca, Dir, EACH},
    running::{connect, in_time, localhost},
};
use crate::support::{Ends, Served, echoes};
use reagent::{BoxError, BoxIo, Connection, ConnectionService, Server, testing::MemoryListener};
use reagent_layers::tls::{TlsLayer, rustls::SupportedProtocolVersion};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

const MEGABYTE: usize = 1 << 20;

/// Reads to the end, and sends the number of bytes.
async fn count(mut conn: Connection) -> io::Result<()> {
    let mut received = Vec::new();
    conn.read_to_end(&mut received).await?;
    assert!(conn.socket().is_ok(), "the socket is still reached");
    assert_eq!(conn.read(&mut [0]).await?, 0, "the end stays the end");
    let answer = format!("{} {}", received.len(), conn.handle().is_truncated());
    conn.write_all(answer.as_bytes()).await?;
    conn.shutdown().await
}

struct Site {
    _dir: Dir,
    ca: Ca,
    served: Served,
}

impl Site {
    async fn new<S>(configure: impl FnOnce(TlsLayer) -> TlsLayer, service: S) -> Self
    where
        S: ConnectionService<reagent_layers::tls::TlsIo<BoxIo>> + Clone + Send + 'static,
    {
        let (dir, ca) = (Dir::new(), Ca::new("ca"));
        let ends = Ends::default();
        let server = Server::bind("127.0.0.1:0")
            .layer(configure(localhost(&dir, &ca)))
            .observe(ends.clone())
            .start(service);
        Site {
            served: Served {
                server: server.await.unwrap(),
                ends,
            },
            _dir: dir,
            ca,
        }
    }

    async fn connect(&self, version: &'static SupportedProtocolVersion) -> TlsStream<TcpStream> {
        let addr = self.served.local_addr().socket_addr().unwrap();
        let stream = TcpStream::connect(addr).await.unwrap();
        let connector = TlsConnector::from(Arc::new(self.ca.believer(&[version])));
        let name = "localhost".try_into().unwrap();
        in_time(connector.connect(name, stream)).await.unwrap()
    }

    /// Waits for the outcome of the connection with this number.
    async fn ends(&self, number: u64) -> String {
        self.served.ends.of(number).await.to_string()
    }
}

/// Ends the stream below TLS.
async fn cut<Io: AsyncRead + AsyncWrite + Unpin>(client: &mut TlsStream<Io>) {
    client.flush().await.unwrap();
    client.get_mut().0.shutdown().await.unwrap();
}

#[tokio::test]
async fn all_that_was_sent_arrives_and_half_a_close_gets_its_answer() {
    let site = Site::new(|layer| layer, reagent::handle(count)).await;
    for (number, version) in (1..).zip(EACH) {
        let mut client = site.connect(version).await;
        client.write_all(&vec![1; MEGABYTE]).await.unwrap();
        cut(&mut client).await;
        let mut answer = String::new();
        in_time(client.read_to_string(&mut answer)).await.unwrap();
        assert_eq!(answer, "1048576 true");
        assert_eq!(site.ends(number).await, "disconnected: truncated");
    }
}

#[tokio::test]
async fn a_record_that_is_cut_is_not_read_and_what_came_before_it_is() {
    let site = Site::new(|layer| layer, reagent::handle(count)).await;
    for (number, version) in (1..).zip(EACH) {
        let mut client = site.connect(version).await;
        client.write_all(b"whole").await.unwrap();
        client.flush().await.unwrap();
        // The header of a data record, and half of its body.
        let half = [&[23, 3, 3, 0, 100][..], &[7; 50]].concat();
        client.get_mut().0.write_all(&half).await.unwrap();
        cut(&mut client).await;
        let mut answer = String::new();
        in_time(client.read_to_string(&mut answer)).await.unwrap();
        assert_eq!(answer, "5 true");
        assert_eq!(site.ends(number).await, "disconnected: truncated");
    }
}

#[tokio::test]
async fn with_close_notify_nothing_is_truncated() {
    let site = Site::new(|layer| layer, reagent::handle(count)).await;
    for (number, version) in (1..).zip(EACH) {
        let mut client = site.connect(version).await;
        client.write_all(b"whole").await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        in_time(client.read_to_string(&mut answer)).await.unwrap();
        assert_eq!(answer, "5 false");
        assert_eq!(site.ends(number).await, "completed");
    }
}

#[tokio::test]
async fn where_it_is_required_its_absence_is_an_error() {
    let strict = |layer: TlsLayer| layer.require_close_notify(true);
    let site = Site::new(strict, reagent::handle(count)).await;
    for (number, version) in (1..).zip(EACH) {
        let mut client = site.connect(version).await;
        client.write_all(b"half").await.unwrap();
        cut(&mut client).await;
        let mut answer = Vec::new();
        in_time(client.read_to_end(&mut answer)).await.unwrap_err();
        assert_eq!(answer, b"");
        assert_eq!(site.ends(number).await, "disconnected: eof");
    }
}

#[tokio::test]
async fn a_server_that_closes_first_loses_nothing() {
    let service = reagent::handle(|mut conn: Connection| async move {
        conn.write_all(b"bye").await?;
        conn.shutdown().await?;
        conn.read_to_end(&mut Vec::new()).await?;
        io::Result::Ok(())
    });
    let site = Site::new(|layer| layer, service).await;
    for (number, version) in (1..).zip(EACH) {
        let mut client = site.connect(version).await;
        let mut answer = String::new();
        in_time(client.read_to_string(&mut answer)).await.unwrap();
        assert_eq!(answer, "bye");
        cut(&mut client).await;
        assert_eq!(site.ends(number).await, "completed");
    }
}

#[tokio::test]
async fn a_reset_stays_an_error() {
    let site = Site::new(|layer| layer, reagent::handle(count)).await;
    for (number, version) in (1..).zip(EACH) {
        let client = site.connect(version).await;
        let socket = socket2::SockRef::from(client.get_ref().0);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        assert_eq!(site.ends(number).await, "disconnected: reset");
    }
}

#[tokio::test]
async fn an_end_of_the_stream_inside_that_is_its_own_error_stays_one() {
    /// A stream that reports an unexpected end itself.
    struct Broken<Io>(Io);

    impl<Io: AsyncRead + Unpin> AsyncRead for Broken<Io> {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            buf: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            let before = buf.filled().len();
            std::task::ready!(std::pin::Pin::new(&mut self.0).poll_read(cx, buf))?;
            std::task::Poll::Ready(match buf.filled().len() == before {
                true => Err(io::ErrorKind::UnexpectedEof.into()),
                false => Ok(()),
            })
        }
    }

    impl<Io: AsyncWrite + Unpin> AsyncWrite for Broken<Io> {
        fn poll_write(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            buf: &[u8],
        ) -> std::task::Poll<io::Result<usize>> {
            std::pin::Pin::new(&mut self.0).poll_write(cx, buf)
        }

        fn poll_flush(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::pin::Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    struct Break;

    impl reagent::Upgrade<BoxIo> for Break {
        type Io = BoxIo;

        async fn upgrade(&self, conn: Connection) -> Result<Connection, BoxError> {
            Ok(conn.map_io(|io| BoxIo::new(Broken(io))))
        }
    }

    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (listener, clients) = MemoryListener::new();
    let ends = Ends::default();
    let _server = Server::new(listener)
        .layer(reagent::UpgradeLayer::new(Break))
        .layer(localhost(&dir, &ca))
        .observe(ends.clone())
        .start(reagent::handle(count))
        .await
        .unwrap();
    let config = Arc::new(ca.believer(BOTH));
    drop(connect(&clients, &config, "localhost").await.unwrap());
    assert_eq!(ends.of(1).await.to_string(), "disconnected: eof");
}

#[cfg(feature = "http")]
#[tokio::test]
async fn clients_of_http_leave_between_two_requests_as_they_like() {
    use http_body_util::BodyExt;
    use reagent_layers::http::HttpLayer;
    use tower::{Layer, service_fn};

    let service = service_fn(
        async |request: hyper::Request<reagent_layers::http::RequestBody>| {
            let length = request.into_body().collect().await?.to_bytes().len();
            Ok::<_, BoxError>(hyper::Response::new(format!("<{length}>")))
        },
    );
    let site = Site::new(|layer| layer, HttpLayer::new().layer(service)).await;
    for (number, version) in [1, 3].into_iter().zip(EACH) {
        let mut client = site.connect(version).await;
        client
            .write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi")
            .await
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"<2>") {
            answer.push(in_time(client.read_u8()).await.unwrap());
        }
        cut(&mut client).await;
        assert_eq!(site.ends(number).await, "completed");

        // Half a request is not a request.
        let mut client = site.connect(version).await;
        client
            .write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhi")
            .await
            .unwrap();
        cut(&mut client).await;
        let end = site.ends(number + 1).await;
        assert!(!end.starts_with("completed"), "{end}");
    }
}

#[cfg(feature = "framed")]
#[tokio::test]
async fn clients_of_frames_leave_between_two_frames_as_they_like() {
    use reagent_layers::framed::{FramedLayer, codec::LinesCodec};
    use tower::{Layer, service_fn};

    let service = service_fn(async |line: String| Ok::<_, BoxError>(line));
    let layer = FramedLayer::new(LinesCodec::new());
    let site = Site::new(|tls| tls, layer.layer(service)).await;
    for (number, version) in (1..).zip(EACH) {
        let mut client = site.connect(version).await;
        assert!(echoes(&mut client, "a frame\n").await);
        cut(&mut client).await;
        assert_eq!(site.ends(number).await, "completed");
    }
}

#[tokio::test]
async fn openssl_that_is_killed_is_truncated() {
    use tokio::process::Command;

    let site = Site::new(|layer| layer, reagent::handle(crate::support::echo)).await;
    let addr = site.served.local_addr().to_string();
    for (number, version) in (1..).zip(["-tls1_2", "-tls1_3"]) {
        let child = Command::new("openssl")
            .args(["s_client", "-quiet", "-connect", &addr, version])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                crate::skipped::skipped("openssl is not installed");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        stdin.write_all(b"hello\n").await.unwrap();
        let mut echo = [0; 6];
        in_time(stdout.read_exact(&mut echo)).await.unwrap();
        child.kill().await.unwrap();
        assert_eq!(site.ends(number).await, "disconnected: truncated");
    }
}

/// In a single segment, so that it is decrypted before any of it is read.
#[tokio::test]
async fn data_before_a_bad_record_is_read_before_its_error() {
    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
    let read = move |mut conn: Connection| {
        let sender = sender.clone();
        async move {
            let mut bytes = Vec::new();
            let result = conn.read_to_end(&mut bytes).await;
            let _ = sender.send((bytes, result.is_err()));
            result.map(drop)
        }
    };
    let site = Site::new(|layer| layer, reagent::handle(read)).await;
    for version in EACH {
        let client = site.connect(version).await;
        let (mut stream, mut session) = client.into_inner();
        let mut bytes = Vec::new();
        for _ in 0..20 {
            io::Write::write_all(&mut session.writer(), &[7; 1000]).unwrap();
            session.write_tls(&mut bytes).unwrap();
        }
        bytes.extend([23, 3, 3, 0, 32]);
        bytes.extend([0; 32]);
        stream.write_all(&bytes).await.unwrap();
        let (read, has_failed) = in_time(received.recv()).await.unwrap();
        assert_eq!((read.len(), has_failed), (20_000, true));
    }
}
