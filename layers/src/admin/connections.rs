//! The list of connections, and a single one.

use super::{
    Admin, Problem,
    path::ConnectionAction,
    query::{ConnectionQuery, Sort},
    rank::{Rank, Top},
    response::{self, AdminResponse},
};
use http::{HeaderName, HeaderValue, StatusCode, header::LINK};
use reagent::{ConnectionHandle, ServerHandle};
use serde::{Serialize, Serializer};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// The number of connections that match the query, on all pages together.
const TOTAL: HeaderName = HeaderName::from_static("x-total-count");

#[derive(Serialize)]
struct ConnectionView {
    id: u64,
    client: String,
    /// The other end of the socket, if that is a proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
    listener: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    listener_label: Option<String>,
    /// Seconds.
    age: f64,
    idle: Option<f64>,
    bytes_read: u64,
    bytes_written: u64,
    /// Bytes per second.
    rate_read: Option<u64>,
    rate_written: Option<u64>,
    phase: &'static str,
    secure: bool,
    draining: bool,
    #[serde(serialize_with = "as_map")]
    labels: Vec<(&'static str, String)>,
}

fn as_map<S: Serializer>(labels: &[(&str, String)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(labels.iter().map(|(key, value)| (key, value)))
}

impl ConnectionView {
    fn new(admin: &Admin, handle: &ConnectionHandle) -> Self {
        let info = handle.info();
        let label = match admin.listener(&info.listener_addr) {
            Some(listener) => listener.label,
            None => info.listener_label.map(|label| label.to_string()),
        };
        let is_proxied = info.socket_addr != info.peer_addr;
        ConnectionView {
            id: info.id,
            client: info.peer_addr.to_string(),
            proxy: is_proxied.then(|| info.socket_addr.to_string()),
            listener: info.listener_addr.to_string(),
            listener_label: label,
            age: info.age.as_secs_f64(),
            idle: handle.last_active_at().map(|at| at.elapsed().as_secs_f64()),
            bytes_read: info.bytes_read,
            bytes_written: info.bytes_written,
            rate_read: info.rate.map(|rate| rate.read),
            rate_written: info.rate.map(|rate| rate.written),
            phase: info.phase.as_str(),
            secure: info.is_secure,
            draining: info.is_draining,
            labels: info.labels,
        }
    }
}

/// Lists the connections that the query asks for. It keeps no more of them than fit on the page,
/// and lets other tasks run meanwhile.
///
/// A connection that is active between two pages may be on both or on neither.
pub(super) async fn list(
    admin: &Admin,
    server: &ServerHandle,
    query: &ConnectionQuery,
) -> AdminResponse {
    let created = admin.shared.created;
    let mut top = Top::new(query.limit);
    let mut total: u64 = 0;
    let visit = |connection: &ConnectionHandle| {
        if !query.wants(connection) {
            return;
        }
        total += 1;
        let rank = Rank::new(key(query.sort, connection, created), connection.id());
        if query.after.is_none_or(|after| rank < after) {
            top.offer(rank, || connection.clone());
        }
    };
    server.visit_connections(visit).await;
    let (connections, last) = top.finish();
    let views = connections.iter();
    let views = views.map(|connection| ConnectionView::new(admin, connection));
    let mut response = response::ok(&views.collect::<Vec<_>>());
    let headers = response.headers_mut();
    headers.insert(TOTAL, total.into());
    if let Some(last) = last {
        let link = format!("<?{}>; rel=\"next\"", query.next(last));
        if let Ok(link) = HeaderValue::try_from(link) {
            headers.insert(LINK, link);
        }
    }
    response
}

/// Returns the key of a connection. Those of times are points in time rather than durations, so
/// that they stay the same from page to page.
fn key(sort: Sort, connection: &ConnectionHandle, created: Instant) -> i64 {
    match sort {
        Sort::Age => before(created, connection.accepted_at()),
        Sort::Bytes => {
            let (read, written) = (connection.bytes_read(), connection.bytes_written());
            i64::try_from(read.saturating_add(written)).unwrap_or(i64::MAX)
        }
        Sort::Rate => {
            let rate = connection.rate().unwrap_or_default();
            i64::try_from(rate.total()).unwrap_or(i64::MAX)
        }
        Sort::Idle => {
            let active_at = connection.last_active_at();
            before(created, active_at.unwrap_or(connection.accepted_at()))
        }
    }
}

/// Returns the microseconds from `at` to `time`, which are negative if `at` is later.
fn before(time: Instant, at: Instant) -> i64 {
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    micros(time.saturating_duration_since(at)) - micros(at.saturating_duration_since(time))
}

pub(super) fn show(
    admin: &Admin,
    server: &ServerHandle,
    id: u64,
) -> Result<AdminResponse, Problem> {
    let connection = find(server, id)?;
    Ok(response::ok(&ConnectionView::new(admin, &connection)))
}

pub(super) fn act(
    server: &ServerHandle,
    id: u64,
    action: ConnectionAction,
) -> Result<AdminResponse, Problem> {
    let connection = find(server, id)?;
    let done = match action {
        ConnectionAction::Abort => {
            connection.abort();
            "abort"
        }
        ConnectionAction::Drain => {
            connection.drain();
            "drain"
        }
    };
    let accepted = json!({ "id": id, "client": connection.peer_addr().to_string(), "asked": done });
    Ok(response::json(StatusCode::ACCEPTED, &accepted))
}

fn find(server: &ServerHandle, id: u64) -> Result<ConnectionHandle, Problem> {
    let none = || Problem::not_found(format!("no open connection has the id {id}"));
    server.connection(id).ok_or_else(none)
}
