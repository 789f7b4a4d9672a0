//! PROXY headers from a real HAProxy, if it is installed.

use crate::support::LONG;
use reagent::{Connection, Server, ServerHandle, handle};
use reagent_layers::proxy_protocol::{ProxyInfo, ProxyProtocolLayer};
#[cfg(feature = "tls")]
use reagent_layers::{
    proxy_protocol::{Header, Parsed, parse},
    tls::TlsLayer,
};
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::PathBuf,
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};
#[cfg(feature = "tls")]
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName},
    },
};

/// Sends the client's address and the contents of the header, then echoes five bytes.
async fn report(mut conn: Connection) -> io::Result<()> {
    let info = conn.extensions().get::<ProxyInfo>().cloned();
    let info = info.ok_or(io::ErrorKind::InvalidData)?;
    let tls = info.ssl().and_then(|ssl| ssl.version.clone());
    let ssl = info.ssl().cloned().unwrap_or_default();
    let algorithms = [ssl.cipher, ssl.signature_algorithm, ssl.key_algorithm];
    let id = info.unique_id().map(|id| id.escape_ascii().to_string());
    let line = format!(
        "{} to {} {} checksum={} id={id:?} authority={:?} tls={tls:?} \
         {algorithms:?} ",
        conn.peer_addr(),
        conn.local_addr()?,
        info.version(),
        info.has_checksum(),
        info.authority(),
    );
    conn.write_all(line.as_bytes()).await?;
    let mut rest = [0; 5];
    conn.read_exact(&mut rest).await?;
    conn.write_all(&rest).await
}

/// A HAProxy in front of a server. Both end when this is dropped.
struct Front {
    addr: SocketAddr,
    dir: PathBuf,
    _haproxy: Child,
    _server: ServerHandle,
}

impl Front {
    /// Starts HAProxy, or returns `None` if it is not installed. It inherits a listening socket as
    /// its standard input, so no port has to be guessed and clients need not wait for its start.
    async fn start(bind: &str, certificate: Option<&str>, options: &str) -> Option<Front> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server = Server::bind("127.0.0.1:0")
            .layer(ProxyProtocolLayer::new(["127.0.0.0/8".parse().unwrap()]).timeout(LONG))
            .start(handle(report))
            .await
            .unwrap();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("haproxy-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        if let Some(pem) = certificate {
            std::fs::write(dir.join("cert.pem"), pem).unwrap();
        }
        let lines = [
            "global".to_owned(),
            "  maxconn 20".to_owned(),
            "defaults".to_owned(),
            "  mode tcp".to_owned(),
            "  timeout connect 20s".to_owned(),
            "  timeout client 20s".to_owned(),
            "  timeout server 20s".to_owned(),
            "  unique-id-format id-%cp".to_owned(),
            "listen test".to_owned(),
            format!("  bind fd@0 {}", bind.replace("DIR", dir.to_str().unwrap())),
            format!("  server app {} {options}", server.local_addr()),
            String::new(),
        ];
        std::fs::write(dir.join("haproxy.cfg"), lines.join("\n")).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        let haproxy = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(dir.join("haproxy.cfg"))
            .stdin(Stdio::from(OwnedFd::from(socket)))
            .kill_on_drop(true)
            .spawn();
        match haproxy {
            Ok(haproxy) => Some(Front {
                addr,
                dir,
                _haproxy: haproxy,
                _server: server,
            }),
            Err(error) => {
                crate::skipped::skipped(format_args!("haproxy cannot be started: {error}"));
                std::fs::remove_dir_all(&dir).unwrap();
                None
            }
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

async fn read_all(mut stream: impl AsyncRead + Unpin) -> String {
    let mut text = String::new();
    let mut byte = [0];
    let reading = async {
        // An error after the response, such as a TLS end without `close_notify`, ends it as well.
        while let Ok(1) = stream.read(&mut byte).await {
            text.push(byte[0].into());
        }
    };
    tokio::time::timeout(LONG, reading).await.expect("an end");
    text
}

#[tokio::test]
async fn both_versions_by_a_real_haproxy() {
    for (options, version, has_more) in [
        ("send-proxy", "v1", false),
        ("send-proxy-v2", "v2", false),
        (
            "send-proxy-v2 proxy-v2-options crc32c,unique-id",
            "v2",
            true,
        ),
    ] {
        let Some(front) = Front::start("", None, options).await else {
            return;
        };
        let mut client = TcpStream::connect(front.addr).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        let us = client.local_addr().unwrap();
        let id = has_more.then(|| format!("id-{}", us.port()));
        assert_eq!(
            read_all(client).await,
            format!(
                "{us} to {} {version} checksum={has_more} id={id:?} authority=None tls=None \
                 [None, None, None] hello",
                front.addr
            )
        );
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tls_facts_from_a_real_haproxy() {
    let made = rcgen::generate_simple_self_signed(["example.com".to_owned()]).unwrap();
    let pem = made.cert.pem() + &made.signing_key.serialize_pem();
    let options = "send-proxy-v2-ssl-cn proxy-v2-options authority,crc32c";
    let Some(front) = Front::start("ssl crt DIR/cert.pem", Some(&pem), options).await else {
        return;
    };
    let mut client = connect(front.addr, made.cert.der()).await;
    let us = client.get_ref().0.local_addr().unwrap();
    client.write_all(b"hello").await.unwrap();
    assert_eq!(
        read_all(client).await,
        format!(
            "{us} to {} v2 checksum=true id=None authority=Some(\"example.com\") \
             tls=Some(\"TLSv1.3\") [None, None, None] hello",
            front.addr
        )
    );
}

/// Connects with TLS to a server with this certificate.
#[cfg(feature = "tls")]
async fn connect(
    addr: SocketAddr,
    cert: &CertificateDer<'static>,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(addr).await.unwrap();
    let name = ServerName::try_from("example.com").unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    connecting.await.unwrap()
}

/// Returns a key for RSA, or `None` if openssl is not installed.
#[cfg(feature = "tls")]
fn rsa_key() -> Option<rcgen::KeyPair> {
    let mut command = std::process::Command::new("openssl");
    let Ok(output) = command.args(["genpkey", "-algorithm", "RSA"]).output() else {
        crate::skipped::skipped("openssl is not installed");
        return None;
    };
    let pem = String::from_utf8(output.stdout).unwrap();
    let algorithm = &rcgen::PKCS_RSA_SHA384;
    Some(rcgen::KeyPair::from_pem_and_sign_algo(&pem, algorithm).unwrap())
}

/// Sends the algorithms of its own connection.
#[cfg(feature = "tls")]
async fn report_own(mut conn: Connection) -> io::Result<()> {
    let header = Header::of(&conn).encode().map_err(io::Error::other)?;
    let Parsed::Done { header, .. } = parse(&header) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let ssl = header.ssl().cloned().unwrap_or_default();
    let algorithms = [ssl.cipher, ssl.signature_algorithm, ssl.key_algorithm];
    conn.write_all(format!("{algorithms:?}").as_bytes()).await?;
    conn.shutdown().await
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn algorithms_are_named_as_haproxy_names_them() {
    let generate = |algorithm| rcgen::KeyPair::generate_for(algorithm).unwrap();
    let keys = [
        Some(generate(&rcgen::PKCS_ECDSA_P256_SHA256)),
        Some(generate(&rcgen::PKCS_ECDSA_P384_SHA384)),
        rsa_key(),
    ];
    let expected = [
        ["ecdsa-with-SHA256", "EC256"],
        ["ecdsa-with-SHA384", "EC384"],
        ["RSA-SHA384", "RSA2048"],
    ];
    for (key, [signature, kind]) in keys.into_iter().zip(expected) {
        let Some(key) = key else { return };
        let params = rcgen::CertificateParams::new(["example.com".to_owned()]).unwrap();
        let cert = params.self_signed(&key).unwrap();
        let pem = cert.pem() + &key.serialize_pem();
        let options = "send-proxy-v2 proxy-v2-options ssl,ssl-cipher,cert-sig,cert-key";
        let Some(front) = Front::start("ssl crt DIR/cert.pem", Some(&pem), options).await else {
            return;
        };
        let mut client = connect(front.addr, cert.der()).await;
        client.write_all(b"hello").await.unwrap();
        let by_haproxy = read_all(client).await;

        let pem = front.dir.join("cert.pem");
        let layer = TlsLayer::from_pem_files(&pem, &pem).unwrap();
        let server = Server::bind("127.0.0.1:0").layer(layer);
        let server = server.start(handle(report_own)).await.unwrap();
        let addr = server.local_addr().socket_addr().unwrap();
        let by_us = read_all(connect(addr, cert.der()).await).await;
        let algorithms = format!("Some({signature:?}), Some({kind:?})]");
        assert!(by_us.ends_with(&algorithms), "{by_us}");
        // OpenSSL and rustls prefer different cipher suites.
        assert!(by_haproxy.contains(&algorithms), "{by_haproxy}");
    }
}
