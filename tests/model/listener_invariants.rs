//! Invariants of listeners that come and go.

use crate::{
    invariants::ensure,
    listening::{Listening, Phase},
    world::World,
};
use reagent::OutcomeKind;
use std::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
};

pub fn check(world: &World) -> Result<(), String> {
    if !world.is_serving() {
        return Ok(());
    }
    listeners_are_as_requested(world)?;
    counts_agree(world)?;
    queues_are_swept(world)?;
    pauses_are_kept(world)?;
    changes_are_followed(world)
}

/// Exactly the open listeners are listed, with their settings.
fn listeners_are_as_requested(world: &World) -> Result<(), String> {
    let places = world.listeners();
    let expected: Vec<_> = places
        .iter()
        .map(|place| {
            let place = &world.places[*place].listening;
            let max = (place.max < usize::MAX).then_some(place.max);
            let label = place.label.clone();
            (
                place.addr.clone(),
                label,
                max,
                place.reserve,
                place.is_paused,
            )
        })
        .collect();
    let stats = world.main.handle.stats();
    let listeners = stats.listeners.iter();
    let listed: Vec<_> = listeners
        .map(|listener| {
            let (addr, label) = (listener.addr.clone(), listener.label.clone());
            let max = listener.max_connections;
            (addr, label, max, listener.reserved, listener.is_paused)
        })
        .collect();
    ensure(listed == expected, || {
        format!("{listed:?} are listed instead of {expected:?}")
    })?;
    let events = world.main.record.events().listeners;
    ensure(events == listed.len() as isize, || {
        format!("{events} of {} listeners were reported", listed.len())
    })
}

/// The counts of each listener are those of the connections that were reported for it, and with
/// those of closed listeners they are the counts of the server.
fn counts_agree(world: &World) -> Result<(), String> {
    let stats = world.main.handle.stats();
    let events = world.main.record.events();
    for listener in &stats.listeners {
        let addr = &listener.addr;
        let is_right = listener.open == events.open_at(addr)
            && listener.accepted == events.started_at(addr) as u64
            && OutcomeKind::ALL
                .iter()
                .all(|kind| listener.ended(*kind) == events.ended_at(addr, kind.as_str()) as u64);
        ensure(is_right, || format!("not as reported: {listener:?}"))?;
    }
    let listeners = world.places.iter().map(|place| &place.listening);
    let known: usize = listeners.map(|place| events.started_at(&place.addr)).sum();
    ensure(known == events.started(), || {
        format!(
            "{known} of {} connections have a listener",
            events.started()
        )
    })?;
    for Listening { addr, label, .. } in world.places.iter().map(|place| &place.listening) {
        let mut seen = events.at(addr);
        ensure(
            seen.all(|seen| seen.handle.listener_label() == label.as_deref()),
            || format!("a connection of {addr} does not have the label {label:?}"),
        )?;
    }
    Ok(())
}

/// The clients in the queue of a closed listener were served as far as the limits allow, and the
/// others refused.
fn queues_are_swept(world: &World) -> Result<(), String> {
    for client in &world.clients {
        let place = &world.places[client.place];
        ensure(place.listening.is_open() || !client.waits(), || {
            format!(
                "a client waits at {}, which is closed",
                place.listening.addr
            )
        })?;
    }
    for place in &world.places {
        if let Phase::Closing { at_least } = place.listening.phase {
            let accepted = world.main.record.events().started_at(&place.listening.addr);
            ensure(accepted >= at_least, || {
                format!("{accepted} clients were accepted before the end, not {at_least}")
            })?;
        }
    }
    Ok(())
}

/// No client is accepted while the server or its listener is paused.
fn pauses_are_kept(world: &World) -> Result<(), String> {
    for listener in world.listeners() {
        let listener = &world.places[listener].listening;
        let paused_at = listener.paused_at;
        let accepted = world.main.record.events().started_at(&listener.addr);
        let is_paused = world.is_pausing() || listener.is_paused;
        ensure(
            !is_paused || paused_at.is_none_or(|before| accepted == before),
            || {
                format!(
                    "a client was accepted at {}, which is paused",
                    listener.addr
                )
            },
        )?;
    }
    Ok(())
}

/// Every acceptor has followed the last change.
fn changes_are_followed(world: &World) -> Result<(), String> {
    let mut cx = Context::from_waker(Waker::noop());
    let settled = pin!(world.main.handle.settled());
    ensure(settled.poll(&mut cx).is_ready(), || {
        "the server is not settled".to_owned()
    })
}
