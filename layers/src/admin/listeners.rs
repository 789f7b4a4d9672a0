//! The listeners of the server.

use super::{
    Problem,
    path::ListenerAction,
    response::{self, AdminResponse},
};
use http::StatusCode;
use reagent::{Addr, ConnectionHandle, ListenerStats, OutcomeKind, ServerHandle};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct ListenerView {
    addr: String,
    label: Option<String>,
    paused: bool,
    /// The reason why it does not accept, if it was lost.
    lost: Option<String>,
    open: usize,
    max_connections: Option<usize>,
    reserved: usize,
    accepted: u64,
    /// The number of connections that have ended, by outcome.
    ended: BTreeMap<&'static str, u64>,
}

impl From<ListenerStats> for ListenerView {
    fn from(stats: ListenerStats) -> Self {
        let ended = OutcomeKind::ALL.map(|kind| (kind.as_str(), stats.ended(kind)));
        ListenerView {
            addr: stats.addr.to_string(),
            label: stats.label.map(|label| label.to_string()),
            paused: stats.is_paused,
            lost: stats.lost,
            open: stats.open,
            max_connections: stats.max_connections,
            reserved: stats.reserved,
            accepted: stats.accepted,
            ended: ended.into(),
        }
    }
}

pub(super) fn list(server: &ServerHandle) -> AdminResponse {
    let listeners = server.stats().listeners.into_iter();
    response::ok(&listeners.map(ListenerView::from).collect::<Vec<_>>())
}

/// Changes a listener. `client` is the connection that the request came by, which must not lose its
/// own listener: nobody could undo that.
pub(super) async fn act(
    server: &ServerHandle,
    text: &str,
    action: ListenerAction,
    client: Option<&ConnectionHandle>,
) -> Result<AdminResponse, Problem> {
    let none = || Problem::not_found(format!("the server does not listen on {text:?}"));
    let is_it = |addr: &Addr| addr.to_string() == text;
    let addr = server.local_addrs().find(is_it);
    let is_own = client.is_some_and(|client| {
        // The page may be served by another server than the one that it shows.
        let is_here = server.connection(client.id()).as_ref() == Some(client);
        is_it(client.listener_addr()) && (is_here || addr.is_none())
    });
    if is_own && action != ListenerAction::Resume {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "this request came in by the same listener, which it would make unreachable; use \
             another address of the page",
        ));
    }
    let addr = addr.ok_or_else(none)?;
    let (is_known, state) = match action {
        ListenerAction::Pause => (server.pause_listener(&addr), "paused"),
        ListenerAction::Resume => (server.resume_listener(&addr), "listening"),
        ListenerAction::Close => (server.close_listener(&addr).await, "closed"),
    };
    match is_known {
        true => Ok(response::ok(&json!({ "addr": text, "state": state }))),
        false => Err(none()),
    }
}
