//! A model of the whole pool: servers that are treated at random, and what must hold at every step; and each
//! combination of limits, in which no client may wait while there is room for it.

#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod client;
mod config;
mod dice;
mod ending;
mod faults;
mod invariants;
mod launch;
mod matrix;
mod net;
mod operation;
mod record;
mod run;
mod support;
mod trouble;
mod unruly;
mod world;

use run::Plan;
use std::{env, ops::Range};

/// Failures that are shown whole; of the rest the seeds are.
const SHOWN: usize = 3;

/// Failures over sockets, each of which takes its time, after which a test gives up.
const MOST_FAILURES: usize = 10;

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is to be a number, and is {text:?}")))
}

/// `REAGENT_MODEL_SEED` is the one seed to run, `REAGENT_MODEL_SEEDS` how many there are.
fn seeds(count: u64) -> Range<u64> {
    match number("REAGENT_MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("REAGENT_MODEL_SEEDS").unwrap_or(count),
    }
}

fn run(test: &str, seeds: Range<u64>, steps: usize, in_memory: bool) {
    let (mut shown, mut failed) = (Vec::new(), Vec::new());
    for seed in seeds {
        let plan = Plan::new(seed, steps);
        let Err(failure) = plan.run(in_memory) else {
            continue;
        };
        failed.push(format!("{seed}: {}", failure.violation));
        if shown.len() < SHOWN {
            // Over sockets a run is not the same twice.
            let (plan, failure) = match in_memory {
                true => plan.shrink(in_memory, failure),
                false => (plan, failure),
            };
            let report = plan.report(&failure);
            let replay = "cargo test --test model";
            shown.push(format!(
                "{report}\nREAGENT_MODEL_SEED={seed} {replay} {test} -- --nocapture"
            ));
        }
        if !in_memory && failed.len() == MOST_FAILURES {
            failed.push("the rest was not tried".to_owned());
            break;
        }
    }
    assert!(
        failed.is_empty(),
        "{}\n\n{} seeds failed:\n{}",
        shown.join("\n\n"),
        failed.len(),
        failed.join("\n")
    );
}

#[test]
fn the_pool_is_right_whatever_is_done_to_it() {
    run("whatever_is_done", seeds(500), 60, true);
}

#[test]
fn the_pool_is_right_over_sockets() {
    run("over_sockets", seeds(30), 25, false);
}
