//! The HTTP client, whose requests have bounds of time and size.

use super::AcmeError;
use bytes::Bytes;
use http::{
    HeaderValue, Request, Uri,
    header::{HOST, RETRY_AFTER},
    response::Parts,
    uri::Scheme,
};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use reagent::BoxError;
use std::{
    future::Future,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

/// The time limit for a request and its answer.
const REQUEST: Duration = Duration::from_secs(30);

/// The time limit for each address of a server, and the number of addresses that are tried.
const CONNECT: Duration = Duration::from_secs(5);
const ADDRESSES: usize = 5;

/// The largest answer. A chain has a few kilobytes.
const LARGEST: usize = 256 * 1024;

/// The longest time for which a server can ask to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The parts of a directory that are URLs: RFC 8555, section 7.1.1, and RFC 9773, section 4.1.
const REQUIRED: [&str; 3] = ["newNonce", "newAccount", "newOrder"];
const OPTIONAL: [&str; 1] = ["renewalInfo"];

/// A client for one directory server. Clones share the time for which it has asked to wait.
///
/// Every request has a connection of its own, since there are about ten of them per order.
#[derive(Clone)]
pub(super) struct Client {
    tls: TlsConnector,
    directory: Uri,
    wait: Arc<Mutex<Option<Duration>>>,
}

type Answer = (Parts, Bytes);

impl Client {
    /// Creates a client that verifies servers by the authorities in `roots`, or those of the
    /// system.
    pub(super) fn new(directory: Uri, roots: Option<&Path>) -> Result<Self, AcmeError> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(AcmeError::order)?
            .with_root_certificates(read_roots(roots)?)
            .with_no_client_auth();
        Ok(Client {
            tls: TlsConnector::from(Arc::new(config)),
            directory,
            wait: Arc::default(),
        })
    }

    /// Returns the time for which the last error has asked to wait, and forgets it.
    pub(super) fn take_wait(&self) -> Option<Duration> {
        self.wait
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    async fn answer(self, request: Request<BodyWrapper<Bytes>>) -> Result<Answer, BoxError> {
        let uri = request.uri().clone();
        let exchange = timeout(REQUEST, self.exchange(request));
        let answer = exchange
            .await
            .unwrap_or_else(|_| Err(format!("expected an answer within {REQUEST:?}").into()));
        let (mut parts, body) = answer.map_err(|error| format!("{uri}: {error}"))?;
        self.bound_wait(&mut parts);
        if uri == self.directory && parts.status.is_success() {
            check_directory(&body).map_err(|key| {
                format!("{uri}: expected a directory with a URL https:// for {key}")
            })?;
        }
        Ok((parts, body))
    }

    async fn exchange(&self, mut request: Request<BodyWrapper<Bytes>>) -> Result<Answer, BoxError> {
        let uri = request.uri().clone();
        let stream = self.connect(&uri).await?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let host = HeaderValue::from_str(authority)?;
        request.headers_mut().insert(HOST, host);
        *request.uri_mut() = match uri.path_and_query() {
            Some(path) => path.as_str().parse()?,
            None => Uri::from_static("/"),
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let answer = async {
            let (parts, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, LARGEST).collect().await?;
            Ok((parts, body.to_bytes()))
        };
        tokio::pin!(connection, answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // The rest of the answer may have been read.
            _ = &mut connection => answer.await,
        }
    }

    async fn connect(&self, uri: &Uri) -> Result<TlsStream<TcpStream>, BoxError> {
        let host = uri.host().filter(|_| uri.scheme() == Some(&Scheme::HTTPS));
        let host = host.ok_or("expected a URL that begins with https://")?;
        let host = host.trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned())?;
        let port = uri.port_u16().unwrap_or(443);
        let mut failure = BoxError::from("the name did not resolve to any address");
        for addr in lookup_host((host, port)).await?.take(ADDRESSES) {
            match timeout(CONNECT, TcpStream::connect(addr)).await {
                Ok(Ok(stream)) => return Ok(self.tls.connect(name, stream).await?),
                Ok(Err(error)) => failure = error.into(),
                Err(_) => failure = format!("expected {addr} to accept within {CONNECT:?}").into(),
            }
        }
        Err(failure)
    }

    /// Bounds the time for which the server asks to wait, with which the library computes, and
    /// notes that of errors.
    fn bound_wait(&self, parts: &mut Parts) {
        let Some(value) = parts.headers.remove(RETRY_AFTER) else {
            return;
        };
        let Some(wait) = value.to_str().ok().and_then(parse_wait) else {
            return;
        };
        let wait = wait.min(LONGEST_WAIT);
        parts.headers.insert(RETRY_AFTER, wait.as_secs().into());
        if !parts.status.is_success() {
            *self.wait.lock().unwrap_or_else(PoisonError::into_inner) = Some(wait);
        }
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let answer = self.clone().answer(request);
        Box::pin(async move {
            let (parts, body) = answer.await.map_err(Error::Other)?;
            let body = Box::new(body);
            Ok(BytesResponse { parts, body })
        })
    }
}

/// Parses `Retry-After`: RFC 9110, section 10.2.3.
fn parse_wait(value: &str) -> Option<Duration> {
    match value.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let at = httpdate::parse_http_date(value).ok()?;
            Some(at.duration_since(SystemTime::now()).unwrap_or_default())
        }
    }
}

/// Checks the URLs of a directory, of which the library assumes that they are valid. Fails with the
/// key of a bad one.
fn check_directory(body: &[u8]) -> Result<(), &'static str> {
    let directory: serde_json::Value = serde_json::from_slice(body).map_err(|_| REQUIRED[0])?;
    let is_url = |value: &serde_json::Value| value.as_str().and_then(parse_url).is_some();
    let is_bad = |key: &&&str| match directory.get(key) {
        Some(value) => !is_url(value),
        None => REQUIRED.contains(key),
    };
    match REQUIRED.iter().chain(&OPTIONAL).find(is_bad) {
        Some(key) => Err(key),
        None => Ok(()),
    }
}

/// Parses a URL that begins with `https://`.
pub(super) fn parse_url(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let is_https = uri.scheme() == Some(&Scheme::HTTPS);
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    (is_https && has_host).then_some(uri)
}

fn read_roots(path: Option<&Path>) -> Result<RootCertStore, AcmeError> {
    let failed = |source: BoxError| AcmeError::Roots {
        path: path.map(Path::to_owned),
        source,
    };
    let mut roots = RootCertStore::empty();
    match path {
        Some(path) => {
            for root in CertificateDer::pem_file_iter(path).map_err(|error| failed(error.into()))? {
                let root = root.map_err(|error| failed(error.into()))?;
                roots.add(root).map_err(|error| failed(error.into()))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if let (true, Some(error)) = (roots.is_empty(), found.errors.into_iter().next()) {
                return Err(failed(error.into()));
            }
        }
    }
    match roots.is_empty() {
        true => Err(failed("expected a PEM section CERTIFICATE".into())),
        false => Ok(roots),
    }
}
