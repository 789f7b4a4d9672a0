//! The server as a whole: its counters, its readiness and its drain.

use super::{
    Admin, Problem,
    response::{self, AdminResponse},
};
use http::StatusCode;
use reagent::{ServerHandle, ServerStatus, Shutdown};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{future::ready, sync::atomic::Ordering::Relaxed, time::Duration};

/// The deadline of a drain that names none.
const DEADLINE: f64 = 10.0;

#[derive(Serialize)]
struct StatsView {
    status: &'static str,
    open: usize,
    max_connections: Option<usize>,
    acceptors: usize,
    accepted: u64,
    completed: u64,
    failed: u64,
    disconnected: u64,
    rejected: u64,
    timed_out: u64,
    drained: u64,
    aborted: u64,
    panicked: u64,
    turned_away: u64,
    /// Of all connections, open or not.
    bytes_read: u64,
    bytes_written: u64,
}

pub(super) async fn stats(server: &ServerHandle) -> AdminResponse {
    let stats = server.stats();
    let (mut bytes_read, mut bytes_written) = (stats.bytes_read, stats.bytes_written);
    let visit = |connection: &reagent::ConnectionHandle| {
        bytes_read += connection.bytes_read();
        bytes_written += connection.bytes_written();
    };
    server.visit_connections(visit).await;
    response::ok(&StatsView {
        status: stats.status.as_str(),
        open: stats.open,
        max_connections: stats.max_connections,
        acceptors: stats.acceptors,
        accepted: stats.accepted,
        completed: stats.completed,
        failed: stats.failed,
        disconnected: stats.disconnected,
        rejected: stats.rejected,
        timed_out: stats.timed_out,
        drained: stats.drained,
        aborted: stats.aborted,
        panicked: stats.panicked,
        turned_away: stats.turned_away,
        bytes_read,
        bytes_written,
    })
}

impl Admin {
    /// Answers `/ready` and `/live` with 200 from now on. Call it when a successor
    /// [has taken over](reagent::Observer::handed_over): the service is well, although this server
    /// drains and stops.
    pub fn handed_over(&self) {
        self.shared.is_handed_over.store(true, Relaxed);
    }
}

/// Answers the probe whether clients should be sent to the server.
pub(super) fn readiness(server: Option<&ServerHandle>) -> AdminResponse {
    let reason = match server {
        Some(server) => server.readiness().reason(),
        None => Some("starting".into()),
    };
    probe(server, reason.as_deref())
}

/// Answers the probe whether the process should be left alone. One that is starting should.
pub(super) fn liveness(server: Option<&ServerHandle>) -> AdminResponse {
    let has_stopped = |server: &&ServerHandle| server.status() == ServerStatus::Stopped;
    probe(server, server.filter(has_stopped).map(|_| "stopped"))
}

/// Answers both probes once a successor serves.
pub(super) fn handed_over() -> AdminResponse {
    response::ok(&json!({ "status": "handed_over" }))
}

fn probe(server: Option<&ServerHandle>, reason: Option<&str>) -> AdminResponse {
    let status = server.map_or("starting", |server| server.status().as_str());
    match reason {
        None => response::ok(&json!({ "status": status })),
        Some(reason) => response::json(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({ "status": status, "reason": reason }),
        ),
    }
}

/// The times of a shutdown, in seconds.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drain {
    #[serde(default = "deadline")]
    deadline: f64,
    #[serde(default)]
    lame_duck: f64,
    #[serde(default)]
    spread: f64,
}

fn deadline() -> f64 {
    DEADLINE
}

impl TryFrom<Drain> for Shutdown {
    type Error = Problem;

    fn try_from(drain: Drain) -> Result<Self, Problem> {
        let [deadline, lame_duck, spread] =
            [drain.deadline, drain.lame_duck, drain.spread].map(|seconds| {
                Duration::try_from_secs_f64(seconds).map_err(|_| {
                    let expected = "expected a number of seconds";
                    Problem::bad_request(format!("invalid time {seconds}: {expected}"))
                })
            });
        Ok(Shutdown::new(deadline?)
            .lame_duck(lame_duck?)
            .spread(spread?))
    }
}

/// Begins a shutdown, and does not wait for its end.
pub(super) async fn drain(server: &ServerHandle, body: &[u8]) -> Result<AdminResponse, Problem> {
    let body = if body.is_empty() { b"{}" } else { body };
    let drain: Drain = super::body::parse(body)?;
    let shutdown = drain.try_into()?;
    // It begins when the future is first polled, and continues without it.
    tokio::select! {
        biased;
        _ = server.shutdown(shutdown) => {}
        () = ready(()) => {}
    }
    let status = server.status().as_str();
    let accepted = json!({ "status": status, "deadline": drain.deadline });
    Ok(response::json(StatusCode::ACCEPTED, &accepted))
}
