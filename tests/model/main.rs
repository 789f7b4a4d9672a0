//! A model of the whole pool. Servers are manipulated at random, and invariants are checked after
//! every step. In addition, every combination of limits is checked: no client may wait while there
//! is capacity for it.

#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod client;
mod clients;
mod config;
mod dice;
mod ending;
mod faults;
mod invariants;
mod launch;
mod listener_invariants;
mod listeners;
mod listening;
mod matrix;
mod net;
mod operation;
#[path = "../suite/port.rs"]
mod port;
mod record;
mod room;
mod run;
mod support;
mod trouble;
mod unruly;
mod world;

use run::Plan;
use std::{env, ops::Range};

/// The number of failures that are reported in full. For the others, only the seed is.
const SHOWN: usize = 3;

/// A test over sockets gives up after this many failures, since each takes a while.
const MOST_FAILURES: usize = 10;

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} must be a number, but is {text:?}")))
}

/// Returns the seeds to run: `REAGENT_MODEL_SEED` is a single seed, `REAGENT_MODEL_SEEDS` their
/// number.
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
            // Runs over sockets are not reproducible.
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
