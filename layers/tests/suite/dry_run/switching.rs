//! Dry runs that begin and end while a server runs.

use super::{read_all, try_out};
use reagent::{Limit, handle};
use reagent_layers::{
    DryRun, Refusal,
    access::{Access, AccessLayer, Rules},
    limit::{AcceptRate, AcceptRateLayer, InFlightLayer, PerClient, PerClientLayer},
    timeout::TimeoutsLayer,
};
use std::time::Duration;
use tokio::time::sleep;
use tower::ServiceBuilder;

#[tokio::test(start_paused = true)]
async fn one_switch_enforces_several_limits_and_leaves_the_spared_alone() {
    let dry_run = DryRun::new(true);
    let access = Access::new(Rules::new().deny_all(["192.0.2.9"]).unwrap());
    let limit = PerClient::new(1).dry_run(dry_run.clone());
    let timeouts = TimeoutsLayer::new().first_byte(Duration::from_secs(10));
    let layers = ServiceBuilder::new()
        .layer(AccessLayer::new(access.dry_run(dry_run.clone())))
        .layer(PerClientLayer::new(limit))
        .layer(timeouts.dry_run(dry_run.clone()));
    let mut trial = try_out!(layers, handle(read_all));
    let _spared = [trial.connect(9).await, trial.connect(9).await];
    sleep(Duration::from_secs(20)).await;
    let spared = trial.decisions.reasons();
    let reasons = |id| {
        let of_it = spared.iter().filter(move |(known, _)| *known == id);
        of_it.map(|(_, reason)| &**reason).collect::<Vec<_>>()
    };
    assert_eq!(reasons(1), ["access", "first byte"]);
    assert_eq!(reasons(2), ["access", "client connections", "first byte"]);
    let label = trial.server.connection(2).unwrap().label("dry_run");
    let all = "access: access, limit: client connections, timeout: first byte";
    assert_eq!(label.as_deref(), Some(all));

    dry_run.set(false);
    let _refused = trial.connect(9).await;
    trial.ended(3).await;
    sleep(Duration::from_secs(6000)).await;
    assert_eq!(trial.server.connection_count(), 2);
    assert_eq!(trial.decisions.reasons().len(), spared.len() + 1);
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_that_waits_for_a_token_notices_a_dry_run() {
    let dry_run = DryRun::default();
    let layer = AcceptRateLayer::new(AcceptRate::new(0.0, 1.0)).dry_run(dry_run.clone());
    let mut trial = try_out!(layer, handle(read_all));
    let _first = trial.connect(1).await;
    let _second = trial.dial(2).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(trial.server.stats().accepted, 1);
    dry_run.set(true);
    sleep(Duration::from_secs(1)).await;
    super::settle().await;
    assert_eq!(trial.decisions.reasons(), [(2, "accept rate".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn what_a_limit_counted_in_a_dry_run_counts_when_it_is_enforced() {
    let dry_run = DryRun::new(true);
    let layer = InFlightLayer::new(Limit::new(1)).shed(Refusal::Close);
    let mut trial = try_out!(layer.dry_run(dry_run.clone()), handle(read_all));
    let first = trial.connect(1).await;
    dry_run.set(false);
    let _refused = trial.connect(1).await;
    trial.ended(2).await;
    drop(first);
    trial.ended(1).await;
    let _third = trial.connect(1).await;
    assert_eq!(trial.decisions.reasons(), [(2, "in flight".to_owned())]);
    assert_eq!(trial.server.connection_count(), 1);
}
