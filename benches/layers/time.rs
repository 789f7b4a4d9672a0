//! Measures the CPU time of servers in user space and in the kernel, in alternation over several
//! rounds.

use crate::{
    count::Figures,
    kit::Kit,
    load::{Client, STEPS, Session, Step},
    pool::Running,
    servers::{KINDS, Kind, NONE},
};
use reagent::BoxError;
use std::{collections::HashMap, time::Duration};

const ROUNDS: usize = 11;

fn times(client: Client, step: Step) -> usize {
    match (client, step) {
        (Client::Tls | Client::Resuming, Step::Connection) => 30,
        (_, Step::Connection) => 150,
        _ => 500,
    }
}

/// Returns the ratio of each server to its baseline.
pub fn of_all(kit: &Kit) -> Result<Figures, BoxError> {
    let (traced, quiet): (Vec<_>, Vec<_>) = KINDS.iter().partition(|kind| kind.traced.is_some());
    let mut ratios = rounds(kit, &quiet)?;
    let with_none: Vec<_> = quiet
        .into_iter()
        .filter(|kind| kind.name == NONE)
        .chain(traced.iter().copied())
        .collect();
    let mut of_traced = rounds(kit, &with_none)?;
    of_traced.retain(|(name, _), _| *name != NONE);
    ratios.extend(of_traced);
    Ok(ratios)
}

fn rounds(kit: &Kit, kinds: &[&Kind]) -> Result<Figures, BoxError> {
    let servers: Vec<_> = kinds
        .iter()
        .map(|kind| Ok((*kind, Running::start(kind, kit)?)))
        .collect::<Result<_, BoxError>>()?;
    let mut ratios: HashMap<_, Vec<f64>> = HashMap::new();
    for _ in 0..ROUNDS {
        for step in STEPS {
            let mut round = HashMap::new();
            for (kind, server) in &servers {
                round.insert(kind.name, once(kit, kind, server, step)?);
            }
            for kind in kinds {
                if let Some(against) = round.get(kind.against) {
                    let ratio = round[kind.name] / against;
                    ratios.entry((kind.name, step)).or_default().push(ratio);
                }
            }
        }
    }
    servers.into_iter().for_each(|(_, server)| server.stop());
    Ok(ratios
        .into_iter()
        .map(|(key, ratios)| (key, median(ratios)))
        .collect())
}

/// Returns the nanoseconds per operation.
fn once(kit: &Kit, kind: &Kind, server: &Running, step: Step) -> Result<f64, BoxError> {
    let mut session = Session::new(step, kind.client, server, kit)?;
    let count = times(kind.client, step);
    let before = server.cpu()?;
    session.run(count, Duration::ZERO)?;
    let took = server.cpu()? - before;
    drop(session);
    server.settle(0);
    Ok(took as f64 / count as f64)
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
