//! A resolver that remembers answers.

use super::{
    AnyResolve, CacheDriver, Resolve, Resolved,
    table::{Known, Lookup, Table},
};
use reagent::BoxError;
use std::{borrow::Cow, error::Error, fmt, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// How long a caller waits for a new answer if there is an old one: the client response timer of
/// RFC 8767, section 5.
const STALE_WAIT: Duration = Duration::from_millis(1800);

/// The most that any setting is, so that no time is beyond what the clock can express.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// The least pause after a failed lookup, so that the driver does not repeat it without one.
const MIN_RETRY: Duration = Duration::from_millis(100);

/// A resolver that remembers the answers of another one. Clones share what they remember.
///
/// | a name that | is answered |
/// |---|---|
/// | is new | by a lookup |
/// | was looked up within its time to live | at once |
/// | was looked up before that | by a lookup, or with the old addresses if that fails or takes 1.8 s |
/// | could not be looked up within the last 5 s | at once, with the old addresses or the error |
///
/// Lookups are made by the futures of callers, one for each name at a time, for which further
/// callers wait. If the future that looks up is dropped, the next caller does it. To refresh the
/// names in use before anybody has to wait, spawn the [`driver`](Self::driver).
///
/// | setting | default |
/// |---|---|
/// | time to live of an answer without one | 30 s |
/// | bounds of the time to live | 5 s to 5 min |
/// | time for which old addresses are used while lookups fail | 1 h |
/// | time for which an error is remembered | 5 s |
/// | number of names | 1,024; the name that was not used for the longest time is forgotten |
///
/// # Example
///
/// ```
/// use reagent_layers::connect::{Cached, Connect, System};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let resolver = Cached::new(System::new());
/// tokio::spawn(resolver.driver());
/// let connect = Connect::new().resolver(resolver);
/// # drop(connect);
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Cached {
    pub(super) resolver: Arc<dyn AnyResolve>,
    pub(super) settings: Settings,
    pub(super) table: Arc<Table>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) default_ttl: Duration,
    pub(super) min_ttl: Duration,
    pub(super) max_ttl: Duration,
    pub(super) stale: Duration,
    pub(super) retry: Duration,
    pub(super) names: usize,
}

impl Settings {
    pub(super) fn ttl(&self, resolved: &Resolved) -> Duration {
        let ttl = resolved.ttl.unwrap_or(self.default_ttl);
        ttl.min(self.max_ttl).max(self.min_ttl).min(LONGEST)
    }
}

impl Cached {
    /// Remembers the answers of `resolver`.
    pub fn new(resolver: impl Resolve) -> Self {
        Cached {
            resolver: Arc::new(resolver),
            settings: Settings {
                default_ttl: Duration::from_secs(30),
                min_ttl: Duration::from_secs(5),
                max_ttl: Duration::from_secs(300),
                stale: Duration::from_secs(3600),
                retry: Duration::from_secs(5),
                names: 1024,
            },
            table: Arc::default(),
        }
    }

    /// Sets the time to live of answers that have none, as those of [`System`](super::System). The
    /// default is 30 s.
    pub fn default_ttl(mut self, ttl: Duration) -> Self {
        self.settings.default_ttl = ttl;
        self
    }

    /// Sets the bounds of the time to live: shorter ones are raised to `min`, longer ones reduced
    /// to `max`. The default is 5 s to 5 min.
    ///
    /// # Panics
    ///
    /// Panics if `min` is greater than `max`.
    pub fn ttl_bounds(mut self, min: Duration, max: Duration) -> Self {
        assert!(min <= max, "invalid bounds: {min:?} is more than {max:?}");
        (self.settings.min_ttl, self.settings.max_ttl) = (min, max);
        self
    }

    /// Sets how long addresses are used after their time to live, as long as lookups fail (RFC
    /// 8767). The default is 1 h, and zero turns it off.
    pub fn stale_for(mut self, time: Duration) -> Self {
        self.settings.stale = time.min(LONGEST);
        self
    }

    /// Sets how long a name is not looked up again after a lookup has failed. The default is 5 s,
    /// and the least 100 ms.
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.settings.retry = time.clamp(MIN_RETRY, LONGEST);
        self
    }

    /// Sets the number of names that are remembered. The default is 1,024, and 0 counts as 1.
    pub fn max_names(mut self, names: usize) -> Self {
        self.settings.names = names.max(1);
        self
    }

    /// Returns a future that refreshes the names in use. Spawn it on the runtime, once.
    pub fn driver(&self) -> CacheDriver {
        CacheDriver::new(self)
    }

    /// Looks a name up, unless somebody else has done so since `lookup` was made.
    async fn look_up(&self, name: &str, lookup: Lookup) -> Known {
        let _turn = lookup.turn.lock().await;
        if let Some(known) = self.table.since(name, &lookup) {
            return known;
        }
        let known = ask(&*self.resolver, name).await;
        self.table
            .store(name, &known, &self.settings, Instant::now());
        known
    }
}

pub(super) async fn ask(resolver: &dyn AnyResolve, name: &str) -> Known {
    match resolver.resolve(name).await {
        Ok(resolved) if resolved.addrs.is_empty() => Err(ResolveError::new(NoAddresses)),
        Ok(resolved) => Ok(resolved),
        Err(error) => Err(ResolveError::new(error)),
    }
}

impl Resolve for Cached {
    async fn resolve(&self, name: &str) -> Result<Resolved, BoxError> {
        // Names are compared without regard to case (RFC 4343).
        let name = match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(name.to_ascii_lowercase()),
            false => Cow::Borrowed(name),
        };
        let (stale, lookup) = match self.table.find(&name, &self.settings, Instant::now()) {
            (Some(known), None) => return Ok(known?),
            (stale, lookup) => (stale, lookup.unwrap_or_default()),
        };
        let Some(stale) = stale else {
            return Ok(self.look_up(&name, lookup).await?);
        };
        match timeout(STALE_WAIT, self.look_up(&name, lookup)).await {
            Ok(Ok(resolved)) => Ok(resolved),
            Ok(Err(_)) => Ok(stale?),
            Err(_) => {
                let error = Err(ResolveError::too_slow());
                let now = Instant::now();
                self.table.store(&name, &error, &self.settings, now);
                Ok(stale?)
            }
        }
    }
}

/// The error of a lookup, shared by those who wait for it.
#[derive(Clone, Debug)]
pub(super) struct ResolveError(Arc<BoxError>);

impl ResolveError {
    fn new(error: impl Into<BoxError>) -> Self {
        ResolveError(Arc::new(error.into()))
    }

    pub(super) fn too_slow() -> Self {
        ResolveError::new("the lookup takes too long")
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for ResolveError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // Its message is not repeated, see `ErrorChain`.
        Some(&**self.0)
    }
}

#[derive(Debug)]
struct NoAddresses;

impl fmt::Display for NoAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name did not resolve to any address")
    }
}

impl Error for NoAddresses {}
