//! The certificate shared by all servers, and clients that trust it.

use reagent::BoxError;
use reagent_layers::tls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, client::Resumption, crypto::ring,
    pki_types::CertificateDer,
};
use std::{
    env, fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::Arc,
};

/// The folder of this run, for the files of all servers.
#[derive(Debug)]
pub struct Files(PathBuf);

impl Files {
    pub fn new() -> Self {
        Files(env::temp_dir().join(format!("http-bench-{}", std::process::id())))
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Creates the folder with a certificate and its key.
    pub fn create(&self) -> Result<(), BoxError> {
        fs::create_dir_all(&self.0)?;
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        fs::write(self.path("cert.pem"), made.cert.pem())?;
        fs::write(self.path("cert.der"), made.cert.der())?;
        fs::write(self.path("key.pem"), made.signing_key.serialize_pem())?;
        Ok(())
    }

    pub fn remove(&self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A client's stream.
pub trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// Connects with or without TLS.
#[derive(Clone, Debug)]
pub struct Connector(Option<Arc<ClientConfig>>);

impl Connector {
    /// With TLS, `resumes` enables session resumption.
    pub fn new(is_tls: bool, resumes: bool) -> io::Result<Self> {
        if !is_tls {
            return Ok(Connector(None));
        }
        let cert = CertificateDer::from(fs::read(Files::new().path("cert.der"))?);
        let mut roots = RootCertStore::empty();
        roots.add(cert).map_err(io::Error::other)?;
        let mut config = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(Connector(Some(Arc::new(config))))
    }

    pub fn connect(&self, addr: SocketAddr) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        let Some(config) = &self.0 else {
            return Ok(Box::new(stream));
        };
        let name = "localhost".try_into().map_err(io::Error::other)?;
        let tls = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        Ok(Box::new(StreamOwned::new(tls, stream)))
    }
}
