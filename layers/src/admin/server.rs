//! The server as a whole: its counters, its readiness and its drain.

use super::{
    Problem,
    response::{self, AdminResponse},
};
use http::StatusCode;
use reagent::{ServerHandle, ServerStatus};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{future::ready, time::Duration};

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

/// Answers the probe whether new clients are welcome.
pub(super) fn readiness(server: Option<&ServerHandle>) -> AdminResponse {
    let status = server.map(ServerHandle::status);
    probe(status, status == Some(ServerStatus::Running))
}

/// Answers the probe whether the process is of any use. One that is still starting is.
pub(super) fn liveness(server: Option<&ServerHandle>) -> AdminResponse {
    let status = server.map(ServerHandle::status);
    probe(status, status != Some(ServerStatus::Stopped))
}

fn probe(status: Option<ServerStatus>, is_ok: bool) -> AdminResponse {
    let code = match is_ok {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let status = status.map_or("starting", ServerStatus::as_str);
    response::json(code, &json!({ "status": status }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Drain {
    /// Seconds.
    #[serde(default = "deadline")]
    deadline: f64,
}

fn deadline() -> f64 {
    DEADLINE
}

/// Begins a drain, and does not wait for its end.
pub(super) async fn drain(server: &ServerHandle, body: &[u8]) -> Result<AdminResponse, Problem> {
    let body = if body.is_empty() { b"{}" } else { body };
    let Drain { deadline } = super::body::parse(body)?;
    let invalid = |_| {
        let message = format!("invalid deadline {deadline}: expected a number of seconds");
        Problem::bad_request(message)
    };
    let limit = Duration::try_from_secs_f64(deadline).map_err(invalid)?;
    // A drain begins when its future is polled, and goes on without it.
    tokio::select! {
        biased;
        _ = server.drain(limit) => {}
        () = ready(()) => {}
    }
    let status = server.status().as_str();
    let accepted = json!({ "status": status, "deadline": deadline });
    Ok(response::json(StatusCode::ACCEPTED, &accepted))
}
