//! The steps of a connection: resolve, connect, preface, TLS.

use super::{
    ConnectError, ConnectErrorKind, ConnectRequest, Target, UpstreamIo,
    attempts::Attempts,
    error::Failure,
    order::interleaved,
    plain::Plain,
    race::race,
    resolve::{AnyResolve, System},
    settings::Settings,
    target::is_scoped,
};
use reagent::{Addr, BoxError};
use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout},
};

/// The resolver of addresses with a scope: only the system knows its interfaces.
static SCOPED: LazyLock<System> = LazyLock::new(System::new);

/// Makes a connection within the overall limit.
pub(super) async fn open(
    settings: Arc<Settings>,
    request: ConnectRequest,
) -> Result<UpstreamIo, ConnectError> {
    let began = Instant::now();
    let mut steps = Steps {
        settings: &settings,
        request: &request,
        deadline: began.checked_add(settings.timeout),
        at: ConnectErrorKind::Resolve,
        attempts: Attempts::default(),
    };
    let ended = timeout(settings.timeout, steps.run()).await;
    let is_timeout = ended.is_err();
    let failure = match ended {
        Ok(Ok(io)) => return Ok(io),
        Ok(Err(failure)) => failure,
        Err(_) => Failure {
            kind: steps.at,
            source: None,
        },
    };
    let attempts = steps.attempts.into_failed();
    let elapsed = began.elapsed();
    Err(ConnectError::new(
        request.target,
        failure,
        attempts,
        elapsed,
        is_timeout,
    ))
}

/// The state of a connection that is being made, which is known even if the time is up.
struct Steps<'a> {
    settings: &'a Settings,
    request: &'a ConnectRequest,
    /// When the time for the whole connection is up; `None` means never.
    deadline: Option<Instant>,
    at: ConnectErrorKind,
    attempts: Attempts,
}

impl Steps<'_> {
    async fn run(&mut self) -> Result<UpstreamIo, Failure> {
        let target = &self.request.target;
        let (mut io, peer) = match target {
            Target::Addr(addr) => self.connect(&[*addr]).await?,
            Target::Name { host, port } => {
                let addrs = self.resolve(host, *port).await;
                let addrs = addrs.map_err(|error| self.failed(error))?;
                self.connect(&addrs).await?
            }
            Target::Unix(path) => {
                self.at = ConnectErrorKind::Connect;
                let addr = Addr::Unix(Some(path.clone()));
                let attempt = self.attempts.begin(addr.clone());
                match super::unix::connect(path).await {
                    Ok(io) => (io, addr),
                    Err(error) => {
                        self.attempts.fail(attempt, error);
                        return Err(self.failed_everywhere());
                    }
                }
            }
        };
        self.attempts.end();
        if !self.request.preface.is_empty() {
            self.at = ConnectErrorKind::Preface;
            let sent = io.write_all(&self.request.preface).await;
            sent.map_err(|error| self.failed(error))?;
        }
        #[cfg(feature = "connect_tls")]
        if let Some(tls) = &self.settings.tls {
            self.at = ConnectErrorKind::Tls;
            let stream = tls.handshake(target, io).await;
            let stream = stream.map_err(|error| self.failed(error))?;
            return Ok(UpstreamIo::tls(stream, peer, tls.requires_close_notify()));
        }
        Ok(UpstreamIo::plain(io, peer))
    }

    /// Returns the addresses of a name, in the order in which they are tried.
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, BoxError> {
        let resolved = match is_scoped(host) {
            true => AnyResolve::resolve(&*SCOPED, host).await?,
            false => self.settings.resolver.resolve(host).await?,
        };
        let mut addrs = interleaved(&resolved.addrs, self.settings.max_addresses);
        addrs.iter_mut().for_each(|addr| addr.set_port(port));
        match addrs.is_empty() {
            true => Err("the name did not resolve to any address".into()),
            false => Ok(addrs),
        }
    }

    async fn connect(&mut self, addrs: &[SocketAddr]) -> Result<(Plain, Addr), Failure> {
        self.at = ConnectErrorKind::Connect;
        match race(addrs, self.settings, self.deadline, &mut self.attempts).await {
            Some((stream, addr)) => Ok((Plain::Tcp(stream), Addr::Tcp(addr))),
            None => Err(self.failed_everywhere()),
        }
    }

    fn failed(&self, error: impl Into<BoxError>) -> Failure {
        Failure {
            kind: self.at,
            source: Some(error.into()),
        }
    }

    /// The errors are those of the attempts.
    fn failed_everywhere(&self) -> Failure {
        Failure {
            kind: self.at,
            source: None,
        }
    }
}
