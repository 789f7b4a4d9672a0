//! The events of a connection.
//!
//! They have no parent span: a connection may end in the task, and therefore in the span, of
//! another.

use super::{
    TARGET,
    facts::{self, ERROR_TYPE, FIELDS},
    level::at_level,
};
use reagent::{
    Addr, ConnectionHandle, Survivor,
    event::{ConnectionEnded, ConnectionSpared},
};
use std::cell::LazyCell;
use tracing::Level;

pub(super) fn started(level: Level, connection: &ConnectionHandle) {
    let socket = connection.socket_addr();
    at_level!(
        level,
        event!(target: TARGET, parent: None,)(
            connection.id = connection.id(),
            listener = connection.listener_addr().to_string(),
            network.transport = facts::transport(socket),
            "network.type" = facts::network_type(socket),
            network.peer.address = facts::address(socket),
            network.peer.port = socket.port(),
            "connection started",
        )
    );
}

pub(super) fn spared(level: Level, event: &ConnectionSpared<'_>, unseen: u64) {
    let ConnectionSpared {
        connection,
        layer,
        reason,
        ..
    } = event;
    let socket = connection.socket_addr();
    let client = LazyCell::new(|| facts::client(connection));
    at_level!(
        level,
        event!(target: TARGET, parent: None,)(
            connection.id = connection.id(),
            layer = *layer,
            reason = *reason,
            listener = connection.listener_addr().to_string(),
            network.peer.address = facts::address(socket),
            network.peer.port = socket.port(),
            client.address = client.and_then(facts::address),
            client.port = client.and_then(Addr::port),
            failures_unseen = (unseen > 0).then_some(unseen),
            "connection spared by a dry run",
        )
    );
}

pub(super) fn ended(level: Level, event: &ConnectionEnded<'_>, unseen: u64) {
    let ConnectionEnded {
        connection,
        outcome,
        ..
    } = event;
    let socket = connection.socket_addr();
    // Computed only if the event is enabled.
    let client = LazyCell::new(|| facts::client(connection));
    let labels = LazyCell::new(|| Labels(connection.info().labels));
    at_level!(
        level,
        event!(target: TARGET, parent: None,)(
            connection.id = connection.id(),
            outcome = outcome.as_str(),
            "error.type" = facts::error_type(outcome, labels.get(ERROR_TYPE)).as_deref(),
            error.message = facts::error_message(outcome),
            duration = connection.accepted_at().elapsed().as_secs_f64(),
            bytes_read = connection.bytes_read(),
            bytes_written = connection.bytes_written(),
            listener = connection.listener_addr().to_string(),
            network.transport = facts::transport(socket),
            "network.type" = facts::network_type(socket),
            network.peer.address = facts::address(socket),
            network.peer.port = socket.port(),
            client.address = client.and_then(facts::address),
            client.port = client.and_then(Addr::port),
            server.address = labels.get(FIELDS[0]),
            tls.cipher = labels.get(FIELDS[1]),
            tls.client.ja4 = labels.get(FIELDS[2]),
            tls.next_protocol = labels.get(FIELDS[3]),
            tls.protocol.version = labels.get(FIELDS[4]),
            failures_unseen = (unseen > 0).then_some(unseen),
            labels = labels.others().map(tracing::field::debug),
            "connection ended",
        )
    );
}

pub(super) fn survived(survivor: &Survivor) {
    let Survivor {
        connection, reason, ..
    } = survivor;
    let socket = &connection.socket_addr;
    let level = if survivor.is_open {
        Level::WARN
    } else {
        Level::INFO
    };
    at_level!(
        level,
        event!(target: TARGET, parent: None,)(
            connection.id = connection.id,
            reason = reason.as_str(),
            is_open = survivor.is_open,
            notified_at = survivor.notified_at.map(|at| at.as_secs_f64()),
            phase = connection.phase.as_str(),
            duration = connection.age.as_secs_f64(),
            listener = connection.listener_addr.to_string(),
            network.transport = facts::transport(socket),
            "network.type" = facts::network_type(socket),
            network.peer.address = facts::address(socket),
            network.peer.port = socket.port(),
            "connection survived the drain",
        )
    );
}

struct Labels(Vec<(&'static str, String)>);

impl Labels {
    fn get(&self, key: &str) -> Option<&str> {
        let label = self.0.iter().find(|(known, _)| *known == key);
        label.map(|(_, value)| value.as_str())
    }

    /// Returns the labels that have no field of their own, if there are any.
    fn others(&self) -> Option<Vec<&(&'static str, String)>> {
        let has_field = |key| key == ERROR_TYPE || FIELDS.contains(&key);
        let others = self.0.iter().filter(|(key, _)| !has_field(*key));
        Some(others.collect::<Vec<_>>()).filter(|others| !others.is_empty())
    }
}
