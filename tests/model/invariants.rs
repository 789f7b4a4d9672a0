//! Invariants that hold whenever nothing more is going to happen.

use crate::{client::Client, config::Stack, launch::Side, listener_invariants, world::World};
use reagent::{ServerStatus, Stats};
use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

/// Returns an error if an invariant is violated. Most violations may be temporary, so the caller
/// retries for longer than any backoff before it reports one.
pub fn check(world: &World) -> Result<(), String> {
    clients_are_served(world)?;
    for side in world.sides() {
        events_are_right(side)?;
        counts_agree(side)?;
        handles_tell_the_outcome(side)?;
    }
    acceptors_are_there(world)?;
    listener_invariants::check(world)?;
    limit_counts_what_is_open(world)?;
    outcomes_are_right(world)?;
    closed_clients_are_accounted_for(world)
}

pub fn ensure(holds: bool, violation: impl FnOnce() -> String) -> Result<(), String> {
    match holds {
        true => Ok(()),
        false => Err(violation()),
    }
}

/// No client waits while there is capacity for it, and every served client receives its echo.
fn clients_are_served(world: &World) -> Result<(), String> {
    for client in &world.clients {
        let place = client.place;
        if let Some(complaint) = client.complaint() {
            return Err(format!(
                "the client of connection {:?} {complaint}",
                client.id()
            ));
        }
        if client.waits()
            && world.room(place) > 0
            && takes_clients(world, place)
            && world.stack_room(place, world.acceptors) > 0
        {
            return Err(format!(
                "a client waits at address {place} with {} of {} connections open, and {} futures alive",
                world.gauge.open(),
                world.max(),
                world.side(place).0.alive.total(),
            ));
        }
    }
    Ok(())
}

fn takes_clients(world: &World, place: usize) -> bool {
    let (side, is_second) = world.side(place);
    let listening = &world.places[place].listening;
    let is_paused = world.is_pausing() || listening.is_paused || listening.is_doomed;
    accepts(&side.handle.stats()) && listening.is_open() && (is_second || !is_paused)
}

/// Returns whether the server accepts clients, unless it is paused.
fn accepts(stats: &Stats) -> bool {
    matches!(stats.status, ServerStatus::Running | ServerStatus::LameDuck)
}

/// Violations found immediately when an event was reported.
fn events_are_right(side: &Side) -> Result<(), String> {
    let mut violations = side.record.events().violations.clone();
    violations.extend(side.alive.violations());
    ensure(violations.is_empty(), || violations.join("; "))
}

fn ended(stats: &Stats) -> u64 {
    stats.completed
        + stats.failed
        + stats.disconnected
        + stats.rejected
        + stats.timed_out
        + stats.drained
        + stats.aborted
        + stats.panicked
}

fn counts_agree(side: &Side) -> Result<(), String> {
    let (stats, listed) = (side.handle.stats(), side.handle.connections().len());
    let events = side.record.events();
    let (open, started) = (events.open(), events.started() as u64);
    ensure(
        (stats.open, listed, stats.accepted, ended(&stats))
            == (open, open, started, started - open as u64),
        || format!("{open} of {started} connections are open, {listed} listed; {stats:?}"),
    )?;
    for (name, count) in [
        ("completed", stats.completed),
        ("failed", stats.failed),
        ("disconnected", stats.disconnected),
        ("rejected", stats.rejected),
        ("timed_out", stats.timed_out),
        ("drained", stats.drained),
        ("aborted", stats.aborted),
        ("panicked", stats.panicked),
    ] {
        let told = events.ended(name) as u64;
        ensure(told == count, || {
            format!("{told} of {count} {name} were reported")
        })?;
    }
    ensure(events.acceptors == stats.acceptors as isize, || {
        format!(
            "{} acceptors according to events; {stats:?}",
            events.acceptors
        )
    })
}

/// `closed()` of every ended connection resolves with the reported outcome, and the server lists
/// exactly the open connections.
fn handles_tell_the_outcome(side: &Side) -> Result<(), String> {
    let events = side.record.events();
    let mut cx = Context::from_waker(Waker::noop());
    for (id, seen) in &events.connections {
        let closed = match pin!(seen.handle.closed()).poll(&mut cx) {
            Poll::Ready(outcome) => Some(outcome.as_str().to_owned()),
            Poll::Pending => None,
        };
        ensure(closed == seen.outcome, || {
            let told = &seen.outcome;
            format!("connection {id} is closed: {closed:?}, but {told:?} was reported")
        })?;
        let is_known = side.handle.connection(*id).is_some();
        ensure(is_known == seen.outcome.is_none(), || {
            format!(
                "connection {id} ended: {:?}; known: {is_known}",
                seen.outcome
            )
        })?;
    }
    Ok(())
}

/// Returns whether a listener is lost permanently.
fn has_lost(world: &World) -> bool {
    let mut places = world.places.iter();
    places.any(|place| place.listening.is_doomed)
}

/// The number of acceptors is as configured, unless a queue is lost.
fn acceptors_are_there(world: &World) -> Result<(), String> {
    let stats = world.main.handle.stats();
    let is_whole = stats
        .listeners
        .iter()
        .all(|listener| listener.lost.is_none());
    if world.acceptors == 0 || !is_whole || has_lost(world) || !accepts(&stats) {
        return Ok(());
    }
    let expected = world.acceptors * world.listeners().len();
    ensure(stats.acceptors == expected, || {
        format!("{} acceptors instead of {expected}", stats.acceptors)
    })
}

/// An idle acceptor holds no permit.
fn limit_counts_what_is_open(world: &World) -> Result<(), String> {
    if !world.config.has_second_server() {
        return Ok(());
    }
    let (taken, open) = (world.limit.taken(), world.gauge.open());
    ensure(taken == open, || {
        format!("{taken} permits are taken, {open} connections are open")
    })
}

fn outcomes_are_right(world: &World) -> Result<(), String> {
    let events = world.main.record.events();
    for (id, expected) in &world.expected {
        let outcome = events
            .connections
            .get(id)
            .and_then(|seen| seen.outcome.as_deref());
        ensure(outcome == Some(*expected), || {
            format!("connection {id} should be {expected}, but is {outcome:?}")
        })?;
    }
    drop(events);
    // The connection of a client that has left or was closed has ended.
    for side in world.sides() {
        let clients = world.clients.iter();
        let here = clients.filter(|client| std::ptr::eq(world.side(client.place).0, side));
        let ids: Vec<_> = here
            .filter(|client| !client.ended)
            .filter_map(Client::id)
            .collect();
        let events = side.record.events();
        for (id, seen) in &events.connections {
            ensure(seen.outcome.is_some() || ids.contains(id), || {
                format!("connection {id} is open, but its client has left")
            })?;
        }
    }
    Ok(())
}

/// A client that was closed without data was turned away, or its connection has ended.
fn closed_clients_are_accounted_for(world: &World) -> Result<(), String> {
    let stats = world.main.handle.stats();
    let is_lossless = world.in_memory && !has_lost(world);
    if !is_lossless || world.second.is_some() || !accepts(&stats) {
        return Ok(());
    }
    let ungreeted = world
        .clients
        .iter()
        .filter(|client| world.is_closed_ungreeted(client));
    let closed = (ungreeted.count() + world.left_ungreeted) as u64;
    let without_words = match world.config.stack {
        Stack::LoadShed(_) => stats.rejected + stats.panicked,
        _ => stats.panicked,
    };
    ensure(
        closed <= stats.turned_away + without_words + stats.failed + stats.disconnected,
        || format!("{closed} clients were closed without data; {stats:?}"),
    )
}
