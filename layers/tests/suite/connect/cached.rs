//! `Cached`: when names are looked up, and what is answered meanwhile. All on a paused clock.

use reagent::BoxError;
use reagent_layers::connect::{Cached, Resolve, Resolved};
use std::{
    collections::HashMap,
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, advance, sleep, timeout};

/// A resolver whose answers are set by a test, and which counts lookups.
#[derive(Clone, Debug, Default)]
pub struct Scripted(Arc<Mutex<Script>>);

#[derive(Debug)]
struct Script {
    answer: Answer,
    ttl: Option<Duration>,
    delay: Duration,
    lookups: HashMap<String, usize>,
    /// The number of lookups under way of each name.
    under_way: HashMap<String, usize>,
}

impl Default for Script {
    fn default() -> Self {
        Script {
            answer: Answer::Addr(1),
            ttl: None,
            delay: Duration::ZERO,
            lookups: HashMap::new(),
            under_way: HashMap::new(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Answer {
    Addr(u8),
    Empty,
    Error,
    Never,
}

impl Scripted {
    pub fn answer(&self, answer: Answer) {
        self.0.lock().unwrap().answer = answer;
    }

    pub fn ttl(&self, seconds: u64) {
        self.0.lock().unwrap().ttl = Some(Duration::from_secs(seconds));
    }

    pub fn delay(&self, delay: Duration) {
        self.0.lock().unwrap().delay = delay;
    }

    pub fn lookups(&self, name: &str) -> usize {
        let script = self.0.lock().unwrap();
        script.lookups.get(name).copied().unwrap_or_default()
    }
}

/// Counts a lookup as under way until it is dropped.
struct UnderWay(Scripted, String);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut script = self.0.0.lock().unwrap();
        *script.under_way.get_mut(&self.1).unwrap() -= 1;
    }
}

impl Resolve for Scripted {
    async fn resolve(&self, name: &str) -> Result<Resolved, BoxError> {
        let (answer, ttl, delay) = {
            let mut script = self.0.lock().unwrap();
            *script.lookups.entry(name.to_owned()).or_default() += 1;
            let under_way = script.under_way.entry(name.to_owned()).or_default();
            *under_way += 1;
            assert_eq!(*under_way, 1, "one lookup of a name at a time");
            (script.answer, script.ttl, script.delay)
        };
        let _under_way = UnderWay(self.clone(), name.to_owned());
        sleep(delay).await;
        let mut resolved = match answer {
            Answer::Addr(last) => Resolved::new([addr(last)]),
            Answer::Empty => Resolved::default(),
            Answer::Error => return Err("no such name".into()),
            Answer::Never => pending().await,
        };
        resolved.ttl = ttl;
        Ok(resolved)
    }
}

pub fn addr(last: u8) -> SocketAddr {
    ([192, 0, 2, last], 0).into()
}

/// Returns the last byte of the address of a name.
pub async fn find(cached: &Cached, name: &str) -> Result<u8, String> {
    match cached.resolve(name).await {
        Ok(resolved) => match resolved.addrs[..] {
            [SocketAddr::V4(addr)] => Ok(addr.ip().octets()[3]),
            _ => Err("no address".into()),
        },
        Err(error) => Err(error.to_string()),
    }
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_used_for_its_time_to_live_within_the_bounds() {
    for (ttl, lasts) in [(None, 30), (Some(60), 60), (Some(1), 5), (Some(9_999), 300)] {
        let scripted = Scripted::default();
        ttl.inspect(|ttl| scripted.ttl(*ttl));
        let cached = Cached::new(scripted.clone());
        assert_eq!(find(&cached, "a.test").await, Ok(1));
        scripted.answer(Answer::Addr(2));
        advance(seconds(lasts) - Duration::from_millis(1)).await;
        assert_eq!(find(&cached, "A.Test").await, Ok(1), "{ttl:?}");
        advance(Duration::from_millis(1)).await;
        assert_eq!(find(&cached, "a.test").await, Ok(2), "{ttl:?}");
        assert_eq!(scripted.lookups("a.test"), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_is_looked_up_once_for_all_who_wait() {
    let scripted = Scripted::default();
    scripted.delay(seconds(1));
    let cached = Cached::new(scripted.clone());
    let all = (0..100).map(|_| find(&cached, "a.test"));
    let found = futures_util::future::join_all(all).await;
    assert!(found.iter().all(|found| *found == Ok(1)));
    assert_eq!(scripted.lookups("a.test"), 1);
    // The same for an error, even if it is not remembered.
    let cached = Cached::new(scripted.clone()).retry_after(Duration::ZERO);
    scripted.answer(Answer::Error);
    let all = (0..100).map(|_| find(&cached, "b.test"));
    let found = futures_util::future::join_all(all).await;
    assert!(found.iter().all(Result::is_err));
    assert_eq!(scripted.lookups("b.test"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_next_one_looks_up_if_the_first_is_dropped() {
    let scripted = Scripted::default();
    scripted.delay(seconds(1));
    let cached = Cached::new(scripted.clone());
    let first = timeout(Duration::from_millis(500), find(&cached, "a.test"));
    let second = find(&cached, "a.test");
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_err());
    assert_eq!(second, Ok(1));
    assert_eq!(scripted.lookups("a.test"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_remembered_for_a_short_time() {
    let scripted = Scripted::default();
    for (name, answer, text) in [
        ("a.test", Answer::Error, "no such name"),
        (
            "b.test",
            Answer::Empty,
            "the name did not resolve to any address",
        ),
    ] {
        scripted.answer(answer);
        let cached = Cached::new(scripted.clone());
        for _ in 0..3 {
            assert_eq!(find(&cached, name).await, Err(text.into()));
        }
        assert_eq!(scripted.lookups(name), 1);
        scripted.answer(Answer::Addr(1));
        advance(seconds(5)).await;
        assert_eq!(find(&cached, name).await, Ok(1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_is_used_while_lookups_fail() {
    let scripted = Scripted::default();
    let cached = Cached::new(scripted.clone()).stale_for(seconds(100));
    assert_eq!(find(&cached, "a.test").await, Ok(1));
    scripted.answer(Answer::Error);
    advance(seconds(30)).await;
    for _ in 0..3 {
        assert_eq!(find(&cached, "a.test").await, Ok(1));
    }
    assert_eq!(scripted.lookups("a.test"), 2, "not for each connection");
    advance(seconds(99)).await;
    assert_eq!(find(&cached, "a.test").await, Ok(1));
    advance(seconds(1)).await;
    assert!(find(&cached, "a.test").await.is_err());
    scripted.answer(Answer::Addr(3));
    advance(seconds(5)).await;
    assert_eq!(find(&cached, "a.test").await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_is_used_if_a_lookup_hangs() {
    let scripted = Scripted::default();
    let cached = Cached::new(scripted.clone());
    assert_eq!(find(&cached, "a.test").await, Ok(1));
    scripted.answer(Answer::Never);
    advance(seconds(30)).await;
    let began = Instant::now();
    assert_eq!(find(&cached, "a.test").await, Ok(1));
    assert_eq!(began.elapsed().as_millis(), 1800);
    assert_eq!(find(&cached, "a.test").await, Ok(1));
    assert_eq!(began.elapsed().as_millis(), 1800, "nobody else waits");
}

#[tokio::test(start_paused = true)]
async fn times_may_be_as_long_as_one_likes() {
    let scripted = Scripted::default();
    scripted.ttl(u64::MAX);
    let longest = Duration::MAX;
    let cached = Cached::new(scripted.clone())
        .default_ttl(longest)
        .ttl_bounds(Duration::ZERO, longest)
        .stale_for(longest)
        .retry_after(longest);
    assert_eq!(find(&cached, "a.test").await, Ok(1));
    scripted.answer(Answer::Error);
    assert!(find(&cached, "b.test").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_name_that_was_used_last_is_kept() {
    let scripted = Scripted::default();
    let cached = Cached::new(scripted.clone()).max_names(2);
    for name in ["a.test", "b.test", "a.test", "c.test", "a.test"] {
        assert_eq!(find(&cached, name).await, Ok(1));
        advance(Duration::from_millis(1)).await;
    }
    assert_eq!(scripted.lookups("a.test"), 1);
    assert_eq!(find(&cached, "b.test").await, Ok(1));
    assert_eq!(scripted.lookups("b.test"), 2, "it was forgotten");
}

/// A random history: at no time is an answer older than it may be, and the sources of answers are
/// never asked twice at once (which [`Scripted`] checks).
#[tokio::test(start_paused = true)]
async fn no_answer_is_older_than_it_may_be() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let scripted = Scripted::default();
        let cached = Cached::new(scripted.clone())
            .stale_for(seconds(60))
            .max_names(3);
        let driver = random
            .bool()
            .then(|| crate::support::beside(cached.driver()));
        // The addresses in the order in which they were current, and until when.
        let mut current_until: HashMap<u8, Instant> = HashMap::new();
        let mut current = 1;
        for _ in 0..60 {
            match random.u8(0..8) {
                0 => {
                    current_until.insert(current, Instant::now());
                    current += 1;
                    scripted.answer(Answer::Addr(current));
                }
                1 => scripted.answer(Answer::Error),
                2 => scripted.answer(Answer::Never),
                3 => scripted.answer(Answer::Addr(current)),
                4 => scripted.delay(Duration::from_millis(random.u64(0..3_000))),
                5 => sleep(Duration::from_millis(random.u64(0..40_000))).await,
                _ => {
                    let name = *random.choice(&["a", "b", "c", "d"]).unwrap();
                    let finding = timeout(seconds(25), find(&cached, name));
                    if let Ok(Ok(found)) = finding.await {
                        let until = current_until.get(&found).copied();
                        let age = until.map_or(Duration::ZERO, |until| until.elapsed());
                        // The time to live, and that of stale answers, and two waits.
                        assert!(age <= seconds(30 + 60 + 25 + 20), "seed {seed}: {age:?}");
                    }
                }
            }
        }
        drop(cached);
        if let Some(driver) = driver {
            timeout(seconds(60), driver).await.unwrap().unwrap();
        }
        let script = scripted.0.lock().unwrap();
        assert!(script.under_way.values().all(|n| *n == 0), "seed {seed}");
    }
}
