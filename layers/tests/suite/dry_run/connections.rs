//! Limits that decide when a connection is accepted.

use super::{Trial, read_all, settle, try_out};
use crate::support::check;
use proptest::{collection::vec, prelude::*};
use reagent::{Limit, handle};
use reagent_layers::{
    Refusal,
    access::{Access, AccessLayer, Rules},
    limit::{
        AcceptRate, AcceptRateLayer, InFlightLayer, PerClient, PerClientLayer, PerClientRate,
        PerClientRateLayer,
    },
};
use std::{net::IpAddr, time::Duration};

const SECOND: Duration = Duration::from_secs(1);

/// What clients do, one after the other.
#[derive(Clone, Debug)]
enum Step {
    Connect(u8),
    /// The client of this connection, counted from the first, leaves.
    Leave(usize),
    Pass(Duration),
    Ban(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_u8..4).prop_map(Step::Connect),
        3 => (0_usize..30).prop_map(Step::Leave),
        3 => (0_u64..1500).prop_map(|ms| Step::Pass(Duration::from_millis(ms))),
        1 => (0_u8..4).prop_map(Step::Ban),
    ];
    vec(step, 1..60)
}

fn ip(n: u8) -> IpAddr {
    [192, 0, 2, n].into()
}

async fn play(mut trial: Trial, access: &Access, steps: &[Step]) -> Vec<(u64, String)> {
    let mut clients = Vec::new();
    for step in steps {
        match *step {
            Step::Connect(n) => clients.push(Some(trial.connect(n).await)),
            Step::Leave(index) => {
                if let Some(client) = clients.get_mut(index).and_then(Option::take) {
                    drop(client);
                    trial.ended(index as u64 + 1).await;
                }
            }
            Step::Pass(time) => tokio::time::advance(time).await,
            Step::Ban(n) => access.bans().ban(ip(n), SECOND),
        }
        settle().await;
    }
    trial.decisions.reasons()
}

/// The limits under test, each with the same settings in both runs.
#[derive(Clone, Copy, Debug)]
enum Which {
    Access,
    PerClient,
    PerClientRate,
    AcceptRate,
    InFlight,
}

const ALL: [Which; 5] = [
    Which::Access,
    Which::PerClient,
    Which::PerClientRate,
    Which::AcceptRate,
    Which::InFlight,
];

fn run(which: Which, is_dry: bool, steps: &[Step]) -> Vec<(u64, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let rules = Rules::new().deny_all(["192.0.2.2/31"]).unwrap();
        let access = Access::new(rules).dry_run(is_dry);
        let trial = match which {
            Which::Access => try_out!(AccessLayer::new(access.clone()), handle(read_all)),
            Which::PerClient => {
                let limit = PerClient::new(2).dry_run(is_dry);
                try_out!(PerClientLayer::new(limit), handle(read_all))
            }
            Which::PerClientRate => {
                let rate = PerClientRate::new(1.0, 2.0).dry_run(is_dry);
                try_out!(PerClientRateLayer::new(rate), handle(read_all))
            }
            Which::AcceptRate => {
                let layer = AcceptRateLayer::new(AcceptRate::new(2.0, 3.0));
                let layer = layer.shed(Refusal::Close).dry_run(is_dry);
                try_out!(layer, handle(read_all))
            }
            Which::InFlight => {
                let layer = InFlightLayer::new(Limit::new(3)).shed(Refusal::Close);
                try_out!(layer.dry_run(is_dry), handle(read_all))
            }
        };
        play(trial, &access, steps).await
    })
}

#[test]
fn a_limit_spares_exactly_the_connections_that_it_would_refuse() {
    for which in ALL {
        let refused = std::cell::Cell::new(0);
        check(40, steps(), |steps| {
            let enforced = run(which, false, &steps);
            refused.set(refused.get() + enforced.len());
            prop_assert_eq!(run(which, true, &steps), enforced);
            Ok(())
        });
        assert!(refused.get() > 40, "{which:?}: {}", refused.get());
    }
}

#[tokio::test(start_paused = true)]
async fn a_spared_connection_takes_no_place() {
    let limit = PerClient::new(2).dry_run(true);
    let mut trial = try_out!(PerClientLayer::new(limit.clone()), handle(read_all));
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(trial.connect(1).await);
    }
    assert_eq!(
        trial.decisions.reasons(),
        [(3, "client connections".to_owned())]
    );
    assert_eq!(
        (limit.connections(ip(1)), trial.server.connection_count()),
        (2, 3)
    );
    // A place is free although there are as many connections as before.
    drop(clients.remove(0));
    trial.ended(1).await;
    clients.push(trial.connect(1).await);
    clients.push(trial.connect(1).await);
    let ids: Vec<u64> = trial
        .decisions
        .reasons()
        .iter()
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(ids, [3, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_would_wait_is_served_and_keeps_its_turn() {
    for is_dry in [false, true] {
        let limit = PerClient::new(1).wait(1, 5 * SECOND).dry_run(is_dry);
        let mut trial = try_out!(PerClientLayer::new(limit.clone()), handle(read_all));
        let first = trial.connect(1).await;
        let _waits_for_too_long = trial.connect(1).await;
        let _one_too_many = trial.connect(1).await;
        tokio::time::sleep(6 * SECOND).await;
        let _waits = trial.connect(1).await;
        drop(first);
        trial.ended(1).await;
        tokio::time::sleep(6 * SECOND).await;
        // It has the place of the first one by now.
        assert_eq!(limit.connections(ip(1)), 1, "{is_dry}");
        let _refused = trial.connect(1).await;
        let ids = trial.decisions.all().into_iter();
        let ids: Vec<_> = ids.map(|(id, _, at)| (id, at.as_secs())).collect();
        assert_eq!(ids, [(2, 5), (3, 0)], "{is_dry}");
        let open = if is_dry { 4 } else { 2 };
        assert_eq!(trial.server.connection_count(), open);
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_would_wait_in_the_queue_are_accepted_at_once() {
    let layer = AcceptRateLayer::new(AcceptRate::new(0.1, 1.0)).dry_run(true);
    let mut trial = try_out!(layer, handle(read_all));
    let _held = [trial.connect(1).await, trial.connect(1).await];
    assert_eq!(trial.decisions.reasons(), [(2, "accept rate".to_owned())]);

    let layer = InFlightLayer::new(Limit::new(1)).dry_run(true);
    let mut trial = try_out!(layer, handle(read_all));
    let _held = [trial.connect(1).await, trial.connect(1).await];
    assert_eq!(trial.decisions.reasons(), [(2, "in flight".to_owned())]);
}
