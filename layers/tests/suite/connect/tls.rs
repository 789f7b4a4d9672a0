//! TLS towards upstreams: names, authorities and certificates.

use super::places::{at, connect, name, to};
use crate::{
    support::{Ends, Served, echo},
    tls::pki::{Ca, Dir, Made},
};
use reagent::{Connection, ErrorChain, Server, handle};
use reagent_layers::{
    connect::{
        Connect, ConnectError, ConnectErrorKind, Target, TlsClient, TlsClientError,
        TlsClientErrorKind as Kind, UpstreamIo,
    },
    tls::{TlsConfigError, TlsInfo, TlsLayer},
};
use std::{io, path::PathBuf, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixListener},
};

/// An upstream that answers every connection with what it knows of the client.
pub struct Upstream {
    pub served: Served,
    pub dir: Dir,
    pub ca: Ca,
    pub authorities: PathBuf,
}

impl Upstream {
    pub async fn start(names: &[&str]) -> Self {
        let ca = Ca::new("ca");
        let made = ca.server(names);
        Self::start_with(ca, made, |_, layer| layer).await
    }

    pub async fn start_with(
        ca: Ca,
        made: Made,
        configure: impl FnOnce(
            &PathBuf,
            reagent_layers::tls::TlsBuilder,
        ) -> reagent_layers::tls::TlsBuilder,
    ) -> Self {
        let dir = Dir::new();
        let (cert, key) = made.write(&dir, "server");
        let authorities = dir.write("ca.pem", ca.pem());
        let builder = TlsLayer::builder().certificate(cert, key);
        let layer = configure(&authorities, builder).build().unwrap();
        let ends = Ends::default();
        let server = Server::bind("127.0.0.1:0")
            .observe(ends.clone())
            .layer(layer)
            .start(handle(tell))
            .await
            .unwrap();
        Upstream {
            served: Served { server, ends },
            dir,
            ca,
            authorities,
        }
    }

    pub fn port(&self) -> u16 {
        self.served.local_addr().port().unwrap()
    }

    /// A connector that trusts the authority of this upstream.
    pub fn connector(&self, tls: TlsClient) -> Connect {
        to([at(1, self.port())]).tls(tls)
    }

    pub fn trusting(&self) -> reagent_layers::connect::TlsClientBuilder {
        TlsClient::builder().authorities(&self.authorities)
    }
}

async fn tell(mut conn: Connection) -> io::Result<()> {
    let tls = conn.extensions().get::<TlsInfo>().unwrap().clone();
    let text = format!(
        "{} {} {} {}",
        tls.version(),
        tls.server_name().unwrap_or("-"),
        String::from_utf8_lossy(tls.alpn().unwrap_or(b"-")),
        tls.peer_subject().unwrap_or("-"),
    );
    conn.write_all(text.as_bytes()).await?;
    conn.shutdown().await
}

pub async fn read(mut io: UpstreamIo) -> String {
    let mut text = String::new();
    super::places::in_time(io.read_to_string(&mut text))
        .await
        .unwrap();
    text
}

/// Returns why the handshake failed, with the whole message.
pub fn reason(result: Result<UpstreamIo, ConnectError>) -> (Kind, String) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::Tls, "{error:?}");
    let source = std::error::Error::source(&error).unwrap();
    let tls: &TlsClientError = source.downcast_ref().unwrap();
    (tls.kind(), ErrorChain(&error).to_string())
}

#[tokio::test]
async fn the_name_of_the_target_is_asked_for_and_verified() {
    let upstream = Upstream::start(&["upstream.test", "127.0.0.1"]).await;
    let port = upstream.port();
    let connector = upstream.connector(upstream.trusting().build().unwrap());
    let io = connect(&connector, name(port)).await.unwrap();
    assert!(io.is_secure());
    assert!(io.tls_session().unwrap().peer_certificates().is_some());
    assert_eq!(read(io).await, "1.3 upstream.test - -");
    let with_dot = Target::host("upstream.test.", port).unwrap();
    let io = connect(&connector, with_dot).await.unwrap();
    assert_eq!(read(io).await, "1.3 upstream.test - -");
    let io = connect(&connector, at(1, port)).await.unwrap();
    assert_eq!(read(io).await, "1.3 - - -", "no name for an address");
}

#[tokio::test]
async fn a_given_name_is_asked_for_and_another_may_be_verified() {
    let upstream = Upstream::start(&["other.test"]).await;
    let given = upstream
        .trusting()
        .server_name("other.test")
        .build()
        .unwrap();
    let io = connect(&upstream.connector(given), name(upstream.port())).await;
    assert_eq!(read(io.unwrap()).await, "1.3 other.test - -");

    let verified = upstream
        .trusting()
        .verify_name("other.test")
        .build()
        .unwrap();
    let io = connect(&upstream.connector(verified), name(upstream.port())).await;
    assert_eq!(read(io.unwrap()).await, "1.3 upstream.test - -");

    let wrong = upstream
        .trusting()
        .server_name("other.test")
        .verify_name("third.test");
    let result = connect(&upstream.connector(wrong.build().unwrap()), name(1)).await;
    drop(result);
    for (name, is_valid) in [
        ("", false),
        ("a b", false),
        ("*.test", false),
        ("::1", true),
    ] {
        let built = upstream.trusting().server_name(name).build();
        assert_eq!(built.is_ok(), is_valid, "{name}");
        let built = upstream.trusting().verify_name(name).build();
        match built {
            Ok(_) => assert!(is_valid, "{name}"),
            Err(TlsConfigError::HostName { name: reported }) => assert_eq!(reported, name),
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_described_in_words() {
    let wrong = Upstream::start(&["a.test", "b.test"]).await;
    let tls = wrong.trusting().build().unwrap();
    let result = connect(&wrong.connector(tls), name(wrong.port())).await;
    let (kind, text) = reason(result);
    assert_eq!(kind, Kind::WrongName);
    let port = wrong.port();
    let expected = format!(
        "cannot begin TLS with upstream.test:{port}: the certificate of upstream.test is not valid \
         for upstream.test, but for "
    );
    assert!(text.starts_with(&expected), "{text}");
    let names = text.strip_prefix(&expected).unwrap();
    assert!(names.starts_with("a.test, b.test: "), "{text}");

    let dir = Dir::new();
    let stranger = dir.write("ca.pem", Ca::new("stranger").pem());
    let tls = TlsClient::builder().authorities(stranger).build().unwrap();
    let (kind, text) = reason(connect(&wrong.connector(tls), name(wrong.port())).await);
    assert_eq!(kind, Kind::UnknownAuthority);
    assert!(
        text.contains("was issued by an authority that is not trusted"),
        "{text}"
    );

    for (from, until, expected, words) in [
        ((2001, 1), (2002, 1), Kind::Expired, "has expired"),
        (
            (2199, 1),
            (2200, 1),
            Kind::NotYetValid,
            "is not valid for another",
        ),
    ] {
        let ca = Ca::new("ca");
        let made = ca.server_with(&["upstream.test"], |params| {
            params.not_before = rcgen::date_time_ymd(from.0, from.1, 1);
            params.not_after = rcgen::date_time_ymd(until.0, until.1, 1);
        });
        let upstream = Upstream::start_with(ca, made, |_, layer| layer).await;
        let tls = upstream.trusting().build().unwrap();
        let (kind, text) = reason(connect(&upstream.connector(tls), name(upstream.port())).await);
        assert_eq!(kind, expected);
        assert!(text.contains(words), "{text}");
    }
}

#[tokio::test]
async fn a_protocol_is_negotiated_and_a_client_certificate_shown() {
    let ca = Ca::new("ca");
    let made = ca.server(&["upstream.test"]);
    let upstream = Upstream::start_with(ca, made, |ca, layer| {
        layer.alpn(["postgresql"]).require_client_certificates(ca)
    })
    .await;
    let (cert, key) = upstream.ca.client("alice").write(&upstream.dir, "alice");
    let tls = upstream
        .trusting()
        .certificate(&cert, &key)
        .alpn(["h2", "postgresql"]);
    let connector = upstream.connector(tls.build().unwrap());
    let io = connect(&connector, name(upstream.port())).await.unwrap();
    assert_eq!(
        io.tls_session().unwrap().alpn_protocol(),
        Some(&b"postgresql"[..])
    );
    assert_eq!(read(io).await, "1.3 upstream.test postgresql CN=alice");

    let tls = upstream
        .trusting()
        .certificate(cert, key)
        .alpn(["h2"])
        .build()
        .unwrap();
    let (kind, text) = reason(connect(&upstream.connector(tls), name(upstream.port())).await);
    assert_eq!(kind, Kind::NoCommonProtocol, "{text}");

    // In TLS 1.3, the upstream refuses after the client is done.
    let tls = upstream.trusting().alpn(["postgresql"]).build().unwrap();
    let mut io = connect(&upstream.connector(tls), name(upstream.port()))
        .await
        .unwrap();
    let error = io.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
}

#[tokio::test]
async fn upstreams_without_tls_and_without_an_end_are_told_apart() {
    let listener = TcpListener::bind(at(1, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dir = Dir::new();
    let ca = dir.write("ca.pem", Ca::new("ca").pem());
    let tls = TlsClient::builder().authorities(ca).build().unwrap();
    let connector = to([at(1, port)]).tls(tls);
    for (answer, expected) in [
        (&b"220 mail.example.org ready\r\n"[..], Kind::NotTls),
        (b"", Kind::Closed),
    ] {
        let serving = async {
            let (mut peer, _) = listener.accept().await.unwrap();
            let mut hello = [0; 4096];
            let _ = peer.read(&mut hello).await.unwrap();
            peer.write_all(answer).await.unwrap();
            peer.shutdown().await.unwrap();
            let _ = peer.read_to_end(&mut Vec::new()).await;
        };
        let (result, ()) = tokio::join!(connect(&connector, name(port)), serving);
        assert_eq!(reason(result).0, expected);
    }
    // The limit includes the handshake.
    let connector = connector.timeout(Duration::from_millis(100));
    let error = connect(&connector, name(port)).await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(error.kind(), ConnectErrorKind::Tls);
}

#[tokio::test]
async fn a_unix_socket_needs_a_name() {
    let upstream = Upstream::start(&["upstream.test"]).await;
    let path = upstream.dir.path("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    let tls = upstream.trusting().build().unwrap();
    let result = connect(&Connect::new().tls(tls), Target::unix(&path)).await;
    let (kind, text) = reason(result);
    assert_eq!(kind, Kind::NoName);
    assert!(
        text.contains("set `TlsClientBuilder::server_name`"),
        "{text}"
    );
}

#[tokio::test]
async fn the_authorities_of_the_system_are_the_default() {
    let upstream = Upstream::start(&["upstream.test"]).await;
    match TlsClient::builder().build() {
        Ok(tls) => {
            let (kind, _) = reason(connect(&upstream.connector(tls), name(upstream.port())).await);
            assert_eq!(kind, Kind::UnknownAuthority);
        }
        Err(error @ TlsConfigError::ServerAuthority { .. }) => {
            crate::skipped::skipped(format_args!("{error:?}"));
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn bytes_go_both_ways() {
    let ca = Ca::new("ca");
    let dir = Dir::new();
    let (cert, key) = ca.server(&["upstream.test"]).write(&dir, "server");
    let server = Server::bind("127.0.0.1:0")
        .layer(TlsLayer::from_pem_files(cert, key).unwrap())
        .start(handle(echo))
        .await
        .unwrap();
    let port = server.local_addr().port().unwrap();
    let tls = TlsClient::builder().authorities(dir.write("ca.pem", ca.pem()));
    let connector = to([at(1, port)]).tls(tls.build().unwrap());
    let io = connect(&connector, name(port)).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(io);
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let send = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let ((), read) = tokio::join!(send, reader.read_to_end(&mut received));
    read.unwrap();
    assert!(received == sent);
}
