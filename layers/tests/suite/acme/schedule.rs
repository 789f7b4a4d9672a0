//! The times of orders, and processes that share a folder.

use super::{
    DOMAIN, Folder, beside,
    directory::{Directory, Reply},
    until,
};
use crate::tls::pki::Ca;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, pause, resume};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns how long after this failure the next one is.
async fn pause_after(
    failures: u32,
    script: impl Fn(&str, &str) -> Option<Reply> + Send + Sync + 'static,
) -> Duration {
    let ca = Ca::new("ca");
    let directory = Directory::start(&ca, script).await;
    let folder = Folder::new(&ca);
    let builder = folder.builder(&directory).domain(DOMAIN);
    let (acme, driver) = builder.orders_per_hour(2).build().unwrap();
    let _driver = beside(driver);
    let mut status = acme.status();
    until(&mut status, |domain| domain.failures == failures).await;
    let before = (Instant::now(), directory.count("GET /dir"));
    pause();
    while directory.count("GET /dir") == before.1 {
        // Advances the clock whenever nothing else happens.
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    let waited = before.0.elapsed();
    resume();
    waited
}

#[tokio::test]
async fn a_directory_can_ask_to_wait_for_up_to_a_day() {
    for (asked, expected) in [("7200", 2 * HOUR), ("999999999", DAY)] {
        let wait = move |request: &str, _: &str| {
            let reply = Reply::problem(429, "rateLimited");
            (request == "POST /order").then(|| reply.header(&format!("retry-after: {asked}")))
        };
        let waited = pause_after(1, wait).await;
        assert!((expected..expected + HOUR).contains(&waited), "{waited:?}");
    }
}

#[tokio::test]
async fn orders_are_limited_per_hour() {
    let waited = pause_after(2, |_, _| None).await;
    assert!((HOUR / 2..HOUR * 2).contains(&waited), "{waited:?}");
}

#[tokio::test]
async fn the_directory_suggests_when_to_renew() {
    let ca = Ca::new("ca");
    let directory = Directory::start(&ca, |request, _| {
        let body = r#"{"suggestedWindow":
            {"start":"2050-01-02T00:00:00Z","end":"2050-01-03T00:00:00Z"}}"#;
        let reply = Reply::new(200, body).header("retry-after: 21600");
        request.starts_with("GET /renewal/").then_some(reply)
    })
    .await;
    let folder = Folder::new(&ca);

    // The account is made by the first order.
    let (acme, driver) = folder.builder(&directory).domain(DOMAIN).build().unwrap();
    let driver = beside(driver);
    until(&mut acme.status(), |domain| domain.failures > 0).await;
    driver.abort();
    drop(acme);

    folder.keep(&directory, (2000, 2100));
    let (acme, driver) = folder.builder(&directory).domain(DOMAIN).build().unwrap();
    let _driver = beside(driver);
    let mut status = acme.status();
    let start = UNIX_EPOCH + Duration::from_secs(2_524_694_400);
    let window = start..start + DAY;
    let found = until(&mut status, |domain| {
        domain.renew_at.is_some_and(|at| window.contains(&at))
    })
    .await;
    assert!(found.renew_at.unwrap() > SystemTime::now());
    assert_eq!(found.failures, 0);
}

#[cfg(unix)]
#[tokio::test]
async fn a_process_uses_what_another_has_obtained() {
    use rustix::fs::{FlockOperation, flock};
    let ca = Ca::new("ca");
    let directory = Directory::start(&ca, |_, _| None).await;
    let folder = Folder::new(&ca);
    let (acme, driver) = folder.builder(&directory).domain(DOMAIN).build().unwrap();
    let other = std::fs::File::options();
    let other = other
        .clone()
        .write(true)
        .open(folder.state(&directory).join("lock"));
    let other = other.unwrap();
    flock(&other, FlockOperation::LockExclusive).unwrap();
    let _driver = beside(driver);
    pause();
    tokio::time::sleep(HOUR).await;
    folder.keep(&directory, (2020, 2100));
    drop(other);
    let mut status = acme.status();
    until(&mut status, |domain| domain.not_after.is_some()).await;
    assert_eq!(directory.count("GET /dir"), 0, "it has ordered nothing");
}
