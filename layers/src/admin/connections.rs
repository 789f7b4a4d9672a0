//! The list of connections, and a single one.

use super::{
    Problem,
    path::ConnectionAction,
    query::{ConnectionQuery, Sort},
    rank::{Rank, Top},
    response::{self, AdminResponse},
};
use http::{HeaderName, HeaderValue, StatusCode, header::LINK};
use reagent::{ConnectionHandle, ServerHandle};
use serde::{Serialize, Serializer};
use serde_json::json;
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
    /// Seconds.
    age: f64,
    idle: Option<f64>,
    bytes_read: u64,
    bytes_written: u64,
    phase: &'static str,
    secure: bool,
    draining: bool,
    #[serde(serialize_with = "as_map")]
    labels: Vec<(&'static str, String)>,
}

fn as_map<S: Serializer>(labels: &[(&str, String)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(labels.iter().map(|(key, value)| (key, value)))
}

impl From<ConnectionHandle> for ConnectionView {
    fn from(handle: ConnectionHandle) -> Self {
        let info = handle.info();
        let is_proxied = info.socket_addr != info.peer_addr;
        ConnectionView {
            id: info.id,
            client: info.peer_addr.to_string(),
            proxy: is_proxied.then(|| info.socket_addr.to_string()),
            listener: info.listener_addr.to_string(),
            age: info.age.as_secs_f64(),
            idle: handle.idle().map(|idle| idle.as_secs_f64()),
            bytes_read: info.bytes_read,
            bytes_written: info.bytes_written,
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
/// Bytes and idle times change between two pages, so a connection may be on both or on neither.
pub(super) async fn list(
    server: &ServerHandle,
    query: &ConnectionQuery,
    created: Instant,
) -> AdminResponse {
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
    let views = connections.into_iter().map(ConnectionView::from);
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

fn key(sort: Sort, connection: &ConnectionHandle, created: Instant) -> i64 {
    let key = match sort {
        Sort::Age => {
            // By a fixed time, so that the key of a connection stays the same.
            let at = connection.accepted_at();
            let after = at.saturating_duration_since(created).as_micros();
            let before = created.saturating_duration_since(at).as_micros();
            return clamped(before) - clamped(after);
        }
        Sort::Bytes => {
            let bytes = connection.bytes_read();
            bytes.saturating_add(connection.bytes_written()).into()
        }
        Sort::Idle => connection.idle().unwrap_or_default().as_millis(),
    };
    clamped(key)
}

fn clamped(key: u128) -> i64 {
    i64::try_from(key).unwrap_or(i64::MAX)
}

pub(super) fn show(server: &ServerHandle, id: u64) -> Result<AdminResponse, Problem> {
    Ok(response::ok(&ConnectionView::from(find(server, id)?)))
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
