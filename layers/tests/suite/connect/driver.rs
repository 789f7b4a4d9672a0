//! The driver of a cache.

use super::cached::{Answer, Scripted, find, seconds};
use crate::support::{LONG, beside};
use reagent_layers::connect::Cached;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

#[tokio::test(start_paused = true)]
async fn names_in_use_are_refreshed_before_they_expire() {
    let scripted = Scripted::default();
    let cached = Cached::new(scripted.clone());
    let _driver = beside(cached.driver());
    assert_eq!(find(&cached, "a.test").await, Ok(1));
    scripted.delay(seconds(2));
    for n in 2..10 {
        scripted.answer(Answer::Addr(n));
        // Used within its time to live.
        sleep(seconds(15)).await;
        let began = Instant::now();
        find(&cached, "a.test").await.unwrap();
        sleep(seconds(15)).await;
        assert_eq!(find(&cached, "a.test").await, Ok(n));
        assert_eq!(began.elapsed(), seconds(15), "nobody waits for a lookup");
    }
}

#[tokio::test(start_paused = true)]
async fn names_that_are_not_used_are_not_refreshed() {
    let scripted = Scripted::default();
    let cached = Cached::new(scripted.clone());
    let _driver = beside(cached.driver());
    for _ in 0..3 {
        find(&cached, "a.test").await.unwrap();
    }
    sleep(seconds(1_000)).await;
    // Once because it was used, and once more would be for nobody.
    assert_eq!(scripted.lookups("a.test"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_or_hangs_is_repeated_later() {
    for (answer, lookups) in [(Answer::Error, 20), (Answer::Never, 4)] {
        let scripted = Scripted::default();
        let cached = Cached::new(scripted.clone());
        let _driver = beside(cached.driver());
        for _ in 0..2 {
            assert_eq!(find(&cached, "a.test").await, Ok(1));
        }
        scripted.answer(answer);
        // From the 27th second on, every 5 s or, with its limit, every 25 s.
        sleep(seconds(27 + 5 * 20) - Duration::from_millis(1)).await;
        assert_eq!(scripted.lookups("a.test"), 1 + lookups, "{answer:?}");
        assert_eq!(find(&cached, "a.test").await, Ok(1));
        scripted.answer(Answer::Addr(2));
        sleep(seconds(30)).await;
        assert_eq!(find(&cached, "a.test").await, Ok(2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_ends_with_the_last_resolver() {
    let cached = Cached::new(Scripted::default());
    let (driver, clone) = (beside(cached.driver()), cached.clone());
    find(&cached, "a.test").await.unwrap();
    drop(cached);
    find(&clone, "b.test").await.unwrap();
    sleep(seconds(100)).await;
    assert!(!driver.is_finished());
    drop(clone);
    timeout(LONG, driver).await.unwrap().unwrap();
}
