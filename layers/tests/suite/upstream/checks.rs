//! Active checks.

use super::kit::{Mode, Network, SECOND, state, stats, upstream, upstreams};
use reagent_layers::upstream::{Check, Driver, Key, UpstreamState, Upstreams};
use std::{
    io,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use tower::service_fn;

#[expect(clippy::disallowed_methods, reason = "the program spawns the driver")]
fn run(driver: Driver) -> JoinHandle<()> {
    tokio::spawn(driver)
}

#[tokio::test(start_paused = true)]
async fn the_first_check_decides_and_after_it_three_and_two_do() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a", "b"])));
    network.set("a", Mode::Refuses);
    run(set.check(Check::connect(), network.clone()));
    sleep(SECOND / 10).await;
    assert_eq!(
        (state(&set, "a"), state(&set, "b")),
        (UpstreamState::Down, UpstreamState::Up)
    );
    let error = stats(&set, "a").last_error;
    assert_eq!(error.as_deref(), Some("check failed: connection refused"));
    for _ in 0..20 {
        assert_eq!(network.name(&set, Key::none()).await, "b");
    }
    // Two checks take at least 1.5 s, and at most 5.
    network.set("a", Mode::Serves);
    sleep(14 * SECOND / 10).await;
    assert_eq!(state(&set, "a"), UpstreamState::Down);
    sleep(36 * SECOND / 10).await;
    assert_eq!(state(&set, "a"), UpstreamState::SlowStart);
    sleep(10 * SECOND).await;
    assert_eq!(state(&set, "a"), UpstreamState::Up);
    // Three checks take at least 3 s, and at most 7.5.
    network.set("a", Mode::Refuses);
    sleep(29 * SECOND / 10).await;
    assert_eq!(state(&set, "a"), UpstreamState::Up);
    sleep(46 * SECOND / 10).await;
    assert_eq!(state(&set, "a"), UpstreamState::Down);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_not_answered_fails_and_delays_no_other() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a", "b"])));
    network.set("a", Mode::Hangs);
    run(set.check(Check::connect().timeout(100 * SECOND), network.clone()));
    sleep(20 * SECOND).await;
    assert_eq!(network.dialled("a"), 1);
    assert!(
        (8..=14).contains(&network.dialled("b")),
        "{}",
        network.dialled("b")
    );
    sleep(81 * SECOND).await;
    assert_eq!(state(&set, "a"), UpstreamState::Down);
    let error = stats(&set, "a").last_error;
    assert_eq!(
        error.as_deref(),
        Some("check failed: no answer within 100s")
    );
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_has_failed_and_is_made_again() {
    let panics = Arc::new(Mutex::new(Vec::new()));
    let (network, seen) = (Network::default(), panics.clone());
    let set = Upstreams::builder()
        .on_panic(move |panic| seen.lock().unwrap().push(panic.to_owned()))
        .build(upstreams(&["a", "b"]));
    let healed = Arc::new(Mutex::new(false));
    let (is_healed, dialled) = (healed.clone(), network.clone());
    let connector = service_fn(move |name: String| {
        let (is_healed, dialled) = (is_healed.clone(), dialled.clone());
        async move {
            assert!(name == "b" || *is_healed.lock().unwrap(), "no {name}");
            dialled.dial(name).await
        }
    });
    let driver = run(set.check(Check::connect(), connector));
    sleep(SECOND / 10).await;
    assert_eq!(*panics.lock().unwrap(), ["the check of a panicked: no a"]);
    let error = stats(&set, "a").last_error;
    assert_eq!(error.as_deref(), Some("check failed: panicked: no a"));
    assert_eq!(state(&set, "a"), UpstreamState::Down);
    assert_eq!(state(&set, "b"), UpstreamState::Up);
    *healed.lock().unwrap() = true;
    sleep(5 * SECOND).await;
    assert_eq!(state(&set, "a"), UpstreamState::SlowStart);
    assert!(!driver.is_finished());
}

/// A check of an upstream that this machine has no descriptor or address for.
#[tokio::test(start_paused = true)]
async fn a_check_that_this_machine_fails_says_nothing_about_the_upstream() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a"])));
    let driver = run(set.check(Check::connect(), network.clone()));
    sleep(SECOND / 10).await;
    for code in [24, 99] {
        network.set("a", Mode::Fails(code));
        let before = network.dialled("a");
        sleep(20 * SECOND).await;
        assert!(network.dialled("a") >= before + 7, "{code}");
        assert_eq!(state(&set, "a"), UpstreamState::Up, "{code}");
        assert_eq!(stats(&set, "a").last_error, None, "{code}");
    }
    network.set("a", Mode::Refuses);
    sleep(10 * SECOND).await;
    assert_eq!(state(&set, "a"), UpstreamState::Down);
    driver.abort();
}

#[tokio::test(start_paused = true)]
async fn all_upstreams_are_used_if_all_are_down() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a", "b"])));
    let checked = Network::default();
    checked.set("a", Mode::Refuses);
    checked.set("b", Mode::Refuses);
    run(set.check(Check::connect(), checked));
    sleep(SECOND).await;
    assert_eq!(
        (state(&set, "a"), state(&set, "b")),
        (UpstreamState::Down, UpstreamState::Down)
    );
    for _ in 0..20 {
        network.name(&set, Key::none()).await;
    }
    assert!(network.dialled("a") >= 9 && network.dialled("b") >= 9);
}

#[tokio::test(start_paused = true)]
async fn checks_end_an_ejection() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a", "b"])));
    network.set("a", Mode::Refuses);
    while state(&set, "a") != UpstreamState::Ejected {
        network.connect(&set, Key::none()).await.unwrap();
    }
    network.set("a", Mode::Serves);
    run(set.check(Check::connect(), network.clone()));
    sleep(SECOND).await;
    assert_eq!(state(&set, "a"), UpstreamState::Ejected);
    sleep(4 * SECOND).await;
    assert_eq!(state(&set, "a"), UpstreamState::SlowStart);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_new_is_checked_at_once_and_one_that_left_no_more() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a"])));
    let check = Check::connect().interval(100 * SECOND);
    run(set.check(check, network.clone()));
    sleep(SECOND).await;
    network.set("b", Mode::Refuses);
    set.set(upstreams(&["b"]));
    sleep(SECOND).await;
    assert_eq!(state(&set, "b"), UpstreamState::Down);
    sleep(1000 * SECOND).await;
    assert_eq!(network.dialled("a"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_driver_ends_with_the_set() {
    let (network, set) = (Network::default(), Upstreams::new(upstreams(&["a"])));
    let driver = run(set.check(Check::connect(), network.clone()));
    let connected = network.connect(&set, Key::none()).await.unwrap();
    sleep(SECOND).await;
    drop(set);
    sleep(SECOND).await;
    assert!(!driver.is_finished(), "a connection is open");
    drop(connected);
    timeout(SECOND / 1000, driver).await.unwrap().unwrap();
}

/// Checks an upstream that answers `answer`, and returns what it has received and why it is down,
/// if it is.
async fn exchange(check: Check, answer: &'static [u8]) -> (String, Option<String>) {
    let received = Arc::new(Mutex::new(String::new()));
    let servers = Arc::new(Mutex::new(JoinSet::new()));
    let heard = received.clone();
    let connect = service_fn(move |_: String| {
        let (ours, mut theirs) = duplex(4096);
        let heard = heard.clone();
        servers.lock().unwrap().spawn(async move {
            let mut request = [0; 4096];
            // A server that speaks first does not wait for a request.
            theirs.write_all(answer).await?;
            let read = theirs.read(&mut request).await?;
            *heard.lock().unwrap() = String::from_utf8_lossy(&request[..read]).into_owned();
            theirs.shutdown().await
        });
        std::future::ready(Ok::<DuplexStream, io::Error>(ours))
    });
    let set = Upstreams::new([upstream("a")]);
    run(set.check(check.clone().timeout(SECOND), connect));
    sleep(SECOND + SECOND / 2).await;
    let stats = stats(&set, "a");
    let error = (stats.state == UpstreamState::Down).then(|| stats.last_error.unwrap());
    let received = received.lock().unwrap().clone();
    (received, error.map(|error| error.to_string()))
}

#[tokio::test(start_paused = true)]
async fn a_check_of_bytes_requires_what_the_answer_begins_with() {
    let check = Check::bytes(&b"PING\r\n"[..], &b"+PONG"[..]);
    let (received, error) = exchange(check.clone(), b"+PONG\r\n").await;
    assert_eq!((&*received, error), ("PING\r\n", None));
    let (_, error) = exchange(check.clone(), b"-LOADING").await;
    let expected = "check failed: expected \"+PONG\", received \"-LOAD\"";
    assert_eq!(error.as_deref(), Some(expected));
    let (_, error) = exchange(check, b"").await;
    assert_eq!(
        error.as_deref(),
        Some("check failed: expected \"+PONG\", received \"\"")
    );
    // The server speaks first, and one that does not fails after the limit.
    let check = Check::bytes(&b""[..], &b"SSH-"[..]);
    assert_eq!(exchange(check.clone(), b"SSH-2.0-x\r\n").await.1, None);
    let (_, error) = exchange(check, b"").await;
    assert_eq!(error.as_deref(), Some("check failed: no answer within 1s"));
}

#[tokio::test(start_paused = true)]
async fn a_check_by_http_requires_a_good_status() {
    let check = || Check::http("app.example.org", "/ready");
    for answer in [
        &b"HTTP/1.1 200 OK\r\n"[..],
        b"HTTP/1.0 399 x\r\n\r\n",
        b"HTTP/1.1 204\r\n",
    ] {
        let (received, error) = exchange(check(), answer).await;
        assert!(received.starts_with("GET /ready HTTP/1.1\r\nHost: app.example.org\r\n"));
        assert_eq!(error, None);
    }
    for (answer, problem) in [
        (
            &b"HTTP/1.1 503 Service Unavailable\r\n"[..],
            "the check was answered with 503",
        ),
        (b"HTTP/1.1 199 x\r\n", "the check was answered with 199"),
        (
            b"HTTP/1.1 2000 x\r\n",
            "the check was not answered by HTTP/1",
        ),
        (
            b"SSH-2.0-OpenSSH\r\n",
            "the check was not answered by HTTP/1",
        ),
        (b"", "the check was not answered by HTTP/1"),
        (&[b'x'; 2000], "the check was not answered by HTTP/1"),
    ] {
        let (_, error) = exchange(check(), answer).await;
        assert_eq!(error, Some(format!("check failed: {problem}")));
    }
}

#[test]
#[should_panic(expected = "invalid host or path for a check")]
fn a_path_cannot_smuggle_a_header() {
    let _ = Check::http("app.example.org", "/\r\nX-Evil: yes");
}
