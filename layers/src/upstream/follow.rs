//! Sets that follow a source.

use super::{description::Upstream, driver::Driver, handle::Upstreams, panic::catch};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

/// The shortest time between two questions to a source.
const SHORTEST: Duration = Duration::from_millis(100);

/// The longest: a day.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

impl<T: Send + Sync + 'static> Upstreams<T> {
    /// Replaces the upstreams by those that `source` returns, at once and again after each
    /// `interval`, as [`set`](Self::set) does. So a name can stand for as many upstreams as it has
    /// addresses.
    ///
    /// If the source returns `None` or no upstream, panics or takes longer than the interval, the
    /// upstreams stay as they are.
    ///
    /// Spawn the driver on the runtime. It ends when all handles, services and connections of the
    /// set are gone.
    ///
    /// # Example
    ///
    /// ```
    /// use reagent_layers::upstream::{Upstream, Upstreams};
    /// use std::{net::SocketAddr, time::Duration};
    /// use tokio::net::lookup_host;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let upstreams = Upstreams::<SocketAddr>::new([]);
    /// let driver = upstreams.follow(Duration::from_secs(30), || async {
    ///     let addrs = lookup_host("localhost:5432").await.ok()?;
    ///     Some(addrs.map(|addr| Upstream::new(addr.to_string(), addr)).collect())
    /// });
    /// tokio::spawn(driver);
    /// # while upstreams.stats().is_empty() {
    /// #     tokio::task::yield_now().await;
    /// # }
    /// # }
    /// ```
    pub fn follow<F>(
        &self,
        interval: Duration,
        mut source: impl FnMut() -> F + Send + 'static,
    ) -> Driver
    where
        F: Future<Output = Option<Vec<Upstream<T>>>> + Send,
    {
        let interval = interval.clamp(SHORTEST, LONGEST);
        let shared = Arc::downgrade(&self.shared);
        let mut changed = self.shared.changed.subscribe();
        let follow = async move {
            loop {
                let asked = timeout(interval, catch(async { source().await })).await;
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                match asked {
                    Ok(Ok(Some(upstreams))) if !upstreams.is_empty() => {
                        Upstreams { shared }.set(upstreams);
                    }
                    Ok(Err(panic)) => shared.panicked(&format!("the source of upstreams {panic}")),
                    _ => drop(shared),
                }
                sleep(interval).await;
            }
        };
        let is_gone = async move { while changed.changed().await.is_ok() {} };
        Driver::of(async move {
            tokio::select! {
                () = follow => {}
                () = is_gone => {}
            }
        })
    }
}
