//! A network of upstreams that serve or fail as they are told.

use reagent_layers::upstream::{
    Connected, Key, Upstream, UpstreamError, UpstreamState, UpstreamStats, Upstreams,
};
use std::{
    collections::HashMap,
    future::{Future, pending},
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{Empty, Join, Sink},
    time::sleep,
};
use tower::Service;

pub const SECOND: Duration = Duration::from_secs(1);
pub const MILLISECOND: Duration = Duration::from_millis(1);

/// What happens to connections to an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Mode {
    #[default]
    Serves,
    Refuses,
    Hangs,
    /// It answers after this time.
    Takes(Duration),
    /// This machine has no descriptors left.
    OutOfDescriptors,
    /// Connecting fails with this error of the system.
    Fails(i32),
}

pub type Stream = Join<Empty, Sink>;

/// The network, which is a connector too. Upstreams that are not known serve.
#[derive(Clone, Debug, Default)]
pub struct Network(Arc<Mutex<HashMap<String, (Mode, usize)>>>);

impl Network {
    pub fn set(&self, name: &str, mode: Mode) {
        self.0.lock().unwrap().entry(name.to_owned()).or_default().0 = mode;
    }

    /// Returns how often an upstream was dialled.
    pub fn dialled(&self, name: &str) -> usize {
        let upstreams = self.0.lock().unwrap();
        upstreams.get(name).map_or(0, |(_, count)| *count)
    }

    pub async fn dial(self, name: String) -> io::Result<Stream> {
        let mode = {
            let mut upstreams = self.0.lock().unwrap();
            let (mode, count) = upstreams.entry(name).or_default();
            *count += 1;
            *mode
        };
        match mode {
            Mode::Serves => {}
            Mode::Refuses => return Err(io::ErrorKind::ConnectionRefused.into()),
            Mode::Hangs => pending().await,
            Mode::Takes(time) => sleep(time).await,
            Mode::Fails(code) => return Err(io::Error::from_raw_os_error(code)),
            Mode::OutOfDescriptors => return Err(io::Error::from_raw_os_error(24)),
        }
        Ok(tokio::io::join(tokio::io::empty(), tokio::io::sink()))
    }

    pub async fn connect(
        &self,
        upstreams: &Upstreams<String>,
        key: Key,
    ) -> Result<Connected<Stream>, UpstreamError> {
        upstreams.connect(key, |name| self.clone().dial(name)).await
    }

    /// Connects, and returns the name of the upstream.
    pub async fn name(&self, upstreams: &Upstreams<String>, key: Key) -> String {
        let connected = self.connect(upstreams, key).await.unwrap();
        connected.guard.name().to_owned()
    }
}

impl Service<String> for Network {
    type Response = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: String) -> Self::Future {
        Box::pin(self.clone().dial(name))
    }
}

/// Returns an upstream whose name is its target.
pub fn upstream(name: &str) -> Upstream<String> {
    Upstream::new(name, name.to_owned())
}

pub fn upstreams(names: &[&str]) -> Vec<Upstream<String>> {
    names.iter().map(|name| upstream(name)).collect()
}

pub fn stats(upstreams: &Upstreams<String>, name: &str) -> UpstreamStats {
    let mut stats = upstreams.stats().into_iter();
    stats.find(|stats| &*stats.name == name).expect(name)
}

pub fn state(upstreams: &Upstreams<String>, name: &str) -> UpstreamState {
    stats(upstreams, name).state
}

/// Checks that no connection is counted any more.
pub fn assert_idle(upstreams: &Upstreams<String>) {
    for stats in upstreams.stats() {
        assert_eq!((stats.open, stats.connecting), (0, 0), "{}", stats.name);
    }
    assert_eq!(upstreams.waiting(), 0);
}
