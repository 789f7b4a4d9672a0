//! Time limits.

use super::try_out;
use crate::support::check;
use proptest::{collection::vec, prelude::*};
use reagent::{Connection, handle};
use reagent_layers::timeout::TimeoutsLayer;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Which limits there are, and the pauses of the client before each of its bytes.
#[derive(Clone, Debug)]
struct Case {
    limits: [Option<u64>; 5],
    /// A pause, and whether the client takes what it is sent.
    pauses: Vec<(u64, bool)>,
}

fn cases() -> impl Strategy<Value = Case> {
    let limit = || proptest::option::weighted(0.5, 2_u64..40);
    let limits = [limit(), limit(), limit(), limit(), limit()];
    let pauses = vec((0_u64..30, any::<bool>()), 1..8);
    (limits, pauses).prop_map(|(limits, pauses)| Case { limits, pauses })
}

/// Answers each byte with more than the client's buffer holds, and ignores a drain.
async fn answer(mut conn: Connection) -> std::io::Result<()> {
    loop {
        if conn.read(&mut [0]).await? == 0 {
            return Ok(());
        }
        conn.write_all(&[0; 40_000]).await?;
    }
}

fn run(case: &Case, is_dry: bool) -> Vec<super::Decision> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let [first_byte, idle, read, write, age] = case.limits.map(|limit| limit.map(seconds));
        let layer = TimeoutsLayer::new()
            .first_byte(first_byte)
            .idle(idle)
            .read(read)
            .write(write)
            .min_rate(1, seconds(50))
            .max_age(age.map(|age| 3 * age), Duration::ZERO, Duration::ZERO);
        let mut trial = try_out!(layer.dry_run(is_dry), handle(answer));
        let mut client = trial.connect(1).await;
        for (pause, takes) in &case.pauses {
            sleep(seconds(*pause)).await;
            // An enforced limit may have ended the connection.
            let _ = client.write_all(&[0]).await;
            if *takes {
                let mut answer = vec![0; 40_000];
                let answer = client.read_exact(&mut answer);
                let _ = tokio::time::timeout(Duration::from_millis(1), answer).await;
            }
        }
        sleep(seconds(1000)).await;
        trial.decisions.all()
    })
}

#[test]
fn a_time_limit_spares_once_when_it_would_end_the_connection() {
    let mut kinds = std::collections::BTreeMap::<String, u32>::new();
    let kinds = std::cell::RefCell::new(&mut kinds);
    check(300, cases(), |case| {
        let enforced = run(&case, false);
        for (_, kind, _) in &enforced {
            *kinds.borrow_mut().entry(kind.clone()).or_default() += 1;
        }
        prop_assert!(enforced.len() <= 1);
        prop_assert_eq!(run(&case, true), enforced);
        Ok(())
    });
    let kinds = kinds.into_inner();
    assert_eq!(kinds.len(), 6, "every limit: {kinds:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_age_is_reported_and_not_drained() {
    let layer = TimeoutsLayer::new()
        .idle(None)
        .first_byte(None)
        .max_age(seconds(60), Duration::ZERO, seconds(10))
        .dry_run(true);
    let mut trial = try_out!(layer, handle(answer));
    let _client = trial.connect(1).await;
    sleep(seconds(600)).await;
    assert_eq!(trial.decisions.all(), [(1, "age".to_owned(), seconds(60))]);
    let info = trial.server.connection(1).unwrap().info();
    assert!(!info.is_draining);
    assert_eq!(info.labels, [("dry_run", "timeout: age".to_owned())]);
}
