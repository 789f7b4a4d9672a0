//! The certificate shared by all proxies, and clients that trust it.

use crate::load::Tls;
use reagent_layers::tls::rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    client::Resumption,
    crypto::ring,
    pki_types::CertificateDer,
    version::{TLS12, TLS13},
};
use std::{
    env, fs, io,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Writes a certificate and its key, and a file with both for HAProxy.
pub(crate) fn create(dir: &Path) -> io::Result<()> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let made = made.map_err(io::Error::other)?;
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    fs::write(dir.join("both.pem"), format!("{cert}{key}"))?;
    fs::write(dir.join("cert.pem"), cert)?;
    fs::write(dir.join("key.pem"), key)?;
    fs::write(dir.join("cert.der"), made.cert.der())
}

/// Connects with or without TLS.
pub(crate) struct Client(Option<TlsConnector>);

impl Client {
    /// Reads the certificate from the folder in `DIR`.
    pub(crate) fn new(tls: Tls) -> io::Result<Self> {
        let (version, resumes) = match tls {
            Tls::None => return Ok(Client(None)),
            Tls::V12 { resumes } => (&TLS12, resumes),
            Tls::V13 { resumes } => (&TLS13, resumes),
        };
        let dir = env::var_os("DIR").ok_or(io::ErrorKind::NotFound)?;
        let cert = fs::read(Path::new(&dir).join("cert.der"))?;
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from(cert))
            .map_err(io::Error::other)?;
        let mut config = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(&[version])
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(Client(Some(Arc::new(config).into())))
    }

    pub(crate) async fn connect(&self, addr: SocketAddr) -> io::Result<Stream> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let Some(connector) = &self.0 else {
            return Ok(Stream::Plain(stream));
        };
        let name = "localhost".try_into().map_err(io::Error::other)?;
        let stream = connector.connect(name, stream).await?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

/// A client's stream.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }

    pub(crate) fn is_resumed(&self) -> bool {
        match self {
            Stream::Plain(_) => false,
            Stream::Tls(stream) => {
                stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
