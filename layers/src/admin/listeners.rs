//! The listeners of the server.

use super::{
    Admin, Problem,
    path::ListenerAction,
    response::{self, AdminResponse},
};
use http::StatusCode;
use reagent::{Addr, ConnectionHandle, ListenerStats, OutcomeKind, ServerHandle};
use serde::Serialize;
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

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

/// The label and the limit to show for a listener. The function of [`Admin::listeners`] returns it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerInfo {
    /// Its label.
    pub label: Option<String>,
    /// The maximum number of its open connections. `None` means no limit.
    pub max_connections: Option<usize>,
}

/// Describes the listener at an address.
pub(super) type Describe = dyn Fn(&Addr) -> Option<ListenerInfo> + Send + Sync;

impl Admin {
    /// Sets a function that returns the label and the limit to show for the listener at an address,
    /// for programs that change labels while a listener is open, or limit it by a layer. It is
    /// called for each listener and connection that is listed. If it returns `None`, those of the
    /// listener itself are shown.
    pub fn listeners(
        mut self,
        info: impl Fn(&Addr) -> Option<ListenerInfo> + Send + Sync + 'static,
    ) -> Self {
        self.settings.listeners = Some(Arc::new(info));
        self
    }

    pub(super) fn listener(&self, addr: &Addr) -> Option<ListenerInfo> {
        self.settings.listeners.as_ref()?(addr)
    }
}

impl ListenerView {
    fn new(admin: &Admin, stats: ListenerStats) -> Self {
        let info = admin.listener(&stats.addr).unwrap_or_else(|| ListenerInfo {
            label: stats.label.as_deref().map(str::to_owned),
            max_connections: stats.max_connections,
        });
        let ended = OutcomeKind::ALL.map(|kind| (kind.as_str(), stats.ended(kind)));
        ListenerView {
            addr: stats.addr.to_string(),
            label: info.label,
            paused: stats.is_paused,
            lost: stats.lost,
            open: stats.open,
            max_connections: info.max_connections,
            reserved: stats.reserved,
            accepted: stats.accepted,
            ended: ended.into(),
        }
    }
}

pub(super) fn list(admin: &Admin, server: &ServerHandle) -> AdminResponse {
    let listeners = server.stats().listeners.into_iter();
    let views = listeners.map(|stats| ListenerView::new(admin, stats));
    response::ok(&views.collect::<Vec<_>>())
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
