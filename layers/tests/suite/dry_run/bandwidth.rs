//! Rates and quotas.

use super::try_out;
use crate::support::check;
use proptest::{collection::vec, prelude::*};
use reagent::{Connection, handle};
use reagent_layers::bandwidth::{BandwidthLayer, BandwidthLimits, Quota, Rate, Rates};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};

/// Sends as many bytes as the client asks for.
async fn serve(mut conn: Connection) -> std::io::Result<()> {
    loop {
        let size = conn.read_u32().await?;
        conn.write_all(&vec![0; size as usize]).await?;
    }
}

/// Pauses in milliseconds, and the number of bytes that the client asks for after each.
type Requests = Vec<(u64, u32)>;

fn requests() -> impl Strategy<Value = Requests> {
    vec((0_u64..3000, 1_u32..2500), 1..10)
}

/// What became of a client, and what was decided.
struct Run {
    is_slowed: bool,
    answered: usize,
    decisions: Vec<(u64, String)>,
}

fn run(limits: &BandwidthLimits, requests: &Requests) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut trial = try_out!(BandwidthLayer::new(limits.clone()), handle(serve));
        let mut client = trial.connect(1).await;
        let (mut is_slowed, mut answered) = (false, 0);
        for (pause, size) in requests {
            sleep(Duration::from_millis(*pause)).await;
            let began = Instant::now();
            let _ = client.write_u32(*size).await;
            let answer = client.read_exact(&mut vec![0; *size as usize]).await;
            answered += usize::from(answer.is_ok());
            is_slowed |= began.elapsed() > Duration::ZERO;
        }
        drop(client);
        trial.ended(1).await;
        Run {
            is_slowed,
            answered,
            decisions: trial.decisions.reasons(),
        }
    })
}

#[test]
fn a_rate_spares_a_connection_if_it_would_slow_it_down() {
    let slowed = std::cell::Cell::new(0);
    check(200, requests(), |requests| {
        let limits = || {
            let rates = Rates::write(Rate::new(1000).burst(2000));
            BandwidthLimits::new().per_connection(rates)
        };
        let enforced = run(&limits(), &requests);
        prop_assert!(enforced.decisions.is_empty());
        slowed.set(slowed.get() + u32::from(enforced.is_slowed));
        let expected = enforced.is_slowed.then(|| (1, "write rate".to_owned()));
        let tried = run(&limits().dry_run(true), &requests);
        prop_assert_eq!(tried.decisions, Vec::from_iter(expected));
        prop_assert!(!tried.is_slowed);
        Ok(())
    });
    assert!((20..180).contains(&slowed.get()), "{slowed:?}");
}

#[test]
fn a_quota_spares_a_connection_that_it_would_end() {
    let exceeded = std::cell::Cell::new(0);
    check(100, requests(), |requests| {
        let limits = || BandwidthLimits::new().quota(Quota::new().read(30).total(9_000));
        let enforced = run(&limits(), &requests).decisions;
        exceeded.set(exceeded.get() + enforced.len());
        let tried = run(&limits().dry_run(true), &requests);
        prop_assert_eq!(tried.decisions, enforced);
        prop_assert_eq!(tried.answered, requests.len());
        Ok(())
    });
    assert!((20..80).contains(&exceeded.get()), "{exceeded:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_read_is_spared_once_and_keeps_its_bytes() {
    let limits = BandwidthLimits::new()
        .total(Rates::read(Rate::new(10)))
        .dry_run(true);
    let mut trial = try_out!(BandwidthLayer::new(limits), handle(crate::support::echo));
    let mut clients = [trial.connect(1).await, trial.connect(2).await];
    let began = Instant::now();
    for client in &mut clients {
        assert!(crate::support::echoes(client, "0123456789abcdef").await);
        assert!(crate::support::echoes(client, "0123456789abcdef").await);
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    let spared = [1, 2].map(|id| (id, "read rate".to_owned()));
    assert_eq!(trial.decisions.reasons(), spared);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_already_waits_goes_on_when_the_dry_run_begins() {
    let dry_run = reagent_layers::DryRun::default();
    let limits = BandwidthLimits::new()
        .per_connection(Rates::write(Rate::new(0)))
        .dry_run(dry_run.clone());
    let mut trial = try_out!(BandwidthLayer::new(limits), handle(serve));
    let mut client = trial.connect(1).await;
    client.write_u32(100).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    dry_run.set(true);
    let began = Instant::now();
    client.read_exact(&mut [0; 100]).await.unwrap();
    assert!(began.elapsed() <= Duration::from_secs(1));
    assert_eq!(trial.decisions.reasons(), [(1, "write rate".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn turns_that_a_dry_run_spares_are_free_for_others_when_it_ends() {
    let dry_run = reagent_layers::DryRun::default();
    let limits = BandwidthLimits::new()
        .total(Rates::write(Rate::new(1000).burst(1000)))
        .dry_run(dry_run.clone());
    let mut trial = try_out!(BandwidthLayer::new(limits), handle(serve));
    let mut clients = Vec::new();
    for id in 1..=6 {
        clients.push(trial.connect(id).await);
    }
    let mut answer = [0; 1000];
    clients[0].write_u32(1000).await.unwrap();
    clients[0].read_exact(&mut answer).await.unwrap();
    // All others wait for a turn, one behind the other.
    for client in &mut clients[1..] {
        client.write_u32(1000).await.unwrap();
    }
    sleep(Duration::from_millis(1)).await;
    dry_run.set(true);
    for client in &mut clients[1..] {
        client.read_exact(&mut answer).await.unwrap();
    }
    dry_run.set(false);
    let began = Instant::now();
    clients[0].write_u32(1000).await.unwrap();
    clients[0].read_exact(&mut answer).await.unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
}
