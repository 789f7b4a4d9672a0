//! The end of a run, and what must hold afterwards.

use crate::{
    net::Place,
    operation::{Ending, Operation},
    unruly::obeys_drain,
    world::World,
};
use reagent::{DrainReport, ServerStatus, Shutdown};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// The time a drain may exceed its deadline by: one second to end aborted connections, and the
/// resolution of timers.
const GRACE: Duration = Duration::from_millis(1_010);
/// The time limit of a drain that has nothing to wait for.
const AT_ONCE: Duration = Duration::from_millis(10);

pub async fn end(world: &mut World, ending: Ending) -> Result<(), String> {
    let events = |world: &World| {
        let events = world.main.record.events();
        (events.started() - events.open(), events.ended("aborted"))
    };
    // A server that has lost all its listeners stops by itself.
    let status = world.main.handle.stats().status;
    let began_before = matches!(status, ServerStatus::Draining | ServerStatus::Stopped);
    let (over, aborted) = events(world);
    let is_idle = world.main.handle.connection_count() == 0;
    // The queue may still hold a client that has left. It is served by an acceptor that gets a
    // service in time.
    let nobody_waits = world.places.iter().all(Place::is_empty);
    let all_obey = {
        let events = world.main.record.events();
        let mut open = events
            .connections
            .iter()
            .filter(|(_, seen)| seen.outcome.is_none());
        open.all(|(id, _)| obeys_drain(*id))
    };

    let started = Instant::now();
    let deadline = match ending {
        Ending::Drain(deadline) | Ending::Spread(deadline) => deadline,
        Ending::DrainIdle => Duration::from_secs(60),
        Ending::Abort => Duration::ZERO,
    };
    let ended = async {
        match ending {
            Ending::Abort => {
                world.main.handle.abort();
                world.main.handle.wait().await
            }
            Ending::Spread(_) => {
                let shutdown = Shutdown::new(deadline).spread(deadline / 2);
                Ok(world.main.handle.shutdown(shutdown).await)
            }
            _ => Ok(world.main.handle.drain(deadline).await),
        }
    };
    let report = timeout(deadline + 10 * GRACE, ended).await;
    let took = started.elapsed();
    let Ok(report) = report else {
        return Err(format!("{ending:?} does not end"));
    };
    // A server that has lost all its listeners stops with an error.
    let Ok(report) = report else {
        return Ok(());
    };

    let slack = if world.in_memory {
        Duration::ZERO
    } else {
        Duration::from_secs(2)
    };
    if took > deadline + GRACE + slack {
        return Err(format!("{ending:?} took {took:?}"));
    }
    let are_notified_at_once = !began_before && !matches!(ending, Ending::Spread(_));
    let at_once = nobody_waits && (is_idle || (all_obey && are_notified_at_once));
    if at_once && took > AT_ONCE + slack {
        return Err(format!("{ending:?} took {took:?} with nothing to wait for"));
    }
    let after = events(world);
    let aborted = after.1 - aborted;
    if world.in_memory {
        let finished = after.0 - over - aborted;
        let is_right = report.aborted == aborted
            && report.remaining == 0
            && (began_before || report.finished == finished);
        if !is_right {
            return Err(format!(
                "{finished} finished, {aborted} were aborted; {report:?}"
            ));
        }
    }
    stopped(world, &report).await
}

async fn stopped(world: &mut World, report: &DrainReport) -> Result<(), String> {
    let stats = world.main.handle.stats();
    if (stats.status, stats.acceptors, stats.open) != (ServerStatus::Stopped, 0, 0) {
        return Err(format!("after the end: {stats:?}"));
    }
    drain_is_reported_once(world, report)?;
    let second = world.second.as_ref().map(|_| world.config.addresses);
    for (number, place) in world.places.iter_mut().enumerate() {
        if Some(number) == second {
            continue;
        }
        place.release();
        if place.connect().await.is_ok() {
            return Err("a client can connect to a server that has stopped".to_owned());
        }
    }
    Ok(())
}

fn drain_is_reported_once(world: &World, report: &DrainReport) -> Result<(), String> {
    let events = world.main.record.events();
    let told = (
        events.drains_started,
        events.listeners,
        events.acceptors,
        events.exhausted,
    );
    if told != (1, 0, 0, 0) || events.reports != [report.clone()] {
        return Err(format!(
            "{} drains started, {} listeners and {} acceptors are left, {} exhaustions; {:?} reported for {report:?}",
            told.0, told.1, told.2, told.3, events.reports
        ));
    }
    Ok(())
}

/// Checks that nothing is left after everything has ended.
pub async fn nothing_left(world: &mut World) -> Result<(), String> {
    world.perform(Operation::AllLeave).await;
    if let Some(second) = &world.second {
        timeout(10 * GRACE, second.handle.drain(Duration::from_secs(5)))
            .await
            .map_err(|_| "the second server does not end".to_owned())?;
    }
    for side in world.sides() {
        let (open, listed) = (
            side.handle.connection_count(),
            side.handle.connections().len(),
        );
        if (open, listed, side.alive.total()) != (0, 0, 0) {
            let alive = side.alive.total();
            return Err(format!(
                "{open} open, {listed} listed, {alive} alive after the end"
            ));
        }
    }
    // A connection gives its place back last, after it is no longer counted.
    let since = Instant::now();
    while world.limit.taken() > 0 {
        if since.elapsed() > GRACE {
            let taken = world.limit.taken();
            return Err(format!("{taken} permits are taken after the end"));
        }
        sleep(AT_ONCE).await;
    }
    Ok(())
}
