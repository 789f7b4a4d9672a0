//! The upstreams of a proxy.

use super::{
    Admin, Problem, body,
    response::{self, AdminResponse},
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// An upstream to show, with what `Upstreams::stats` of the feature `upstream` says about it.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamInfo {
    /// What its set is for, such as the label of a listener.
    pub set: String,
    /// The name.
    pub name: String,
    /// The weight.
    pub weight: u32,
    /// The number of open connections.
    pub open: usize,
    /// The number of connections that were made.
    pub total: u64,
    /// The number of failures.
    pub failures: u64,
    /// The state, such as `up`.
    pub state: String,
    /// Whether it is used in this state.
    pub is_available: bool,
    /// How long it has been in this state.
    pub since: Duration,
    /// Why it last failed.
    pub last_error: Option<String>,
}

/// A change of an upstream, for the function of [`Admin::change_upstreams`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpstreamChange {
    /// Makes no more connections to it. Its open connections stay.
    Drain,
    /// Ends the effect of `Drain`.
    Resume,
    /// Sets its weight.
    SetWeight(u32),
}

/// The last segment of the path of a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum UpstreamAction {
    Drain,
    Resume,
    Weight,
}

/// Changes the upstream of this set and name. Returns whether there is such an upstream.
pub(super) type ChangeUpstream = dyn Fn(&str, &str, UpstreamChange) -> bool + Send + Sync;

impl Admin {
    /// Sets the function that changes an upstream, given its [set](UpstreamInfo::set) and its name.
    /// It returns whether there is such an upstream. Without this function, upstreams are only
    /// shown.
    ///
    /// ```
    /// # fn f(upstreams: reagent_layers::upstream::Upstreams<std::net::SocketAddr>) {
    /// use reagent_layers::admin::{Admin, UpstreamChange};
    ///
    /// let admin = Admin::new().change_upstreams(move |set, name, change| match change {
    ///     _ if set != "database" => false,
    ///     UpstreamChange::Drain => upstreams.drain(name),
    ///     UpstreamChange::Resume => upstreams.resume(name),
    ///     UpstreamChange::SetWeight(weight) => upstreams.set_weight(name, weight),
    ///     _ => false,
    /// });
    /// # let _ = admin;
    /// # }
    /// ```
    pub fn change_upstreams(
        mut self,
        change: impl Fn(&str, &str, UpstreamChange) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.settings.change_upstream = Some(Arc::new(change));
        self
    }
}

#[derive(Serialize)]
struct UpstreamView {
    set: String,
    name: String,
    weight: u32,
    open: usize,
    total: u64,
    failures: u64,
    state: String,
    available: bool,
    since: f64,
    last_error: Option<String>,
    /// Whether it can be drained and resumed.
    changeable: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weight {
    weight: u32,
}

fn views(admin: &Admin) -> Result<impl Iterator<Item = UpstreamView>, Problem> {
    let Some(upstreams) = &admin.settings.upstreams else {
        return Err(Problem::not_found("this server has no upstreams"));
    };
    let changeable = admin.settings.change_upstream.is_some();
    let views = upstreams().into_iter().map(move |upstream| UpstreamView {
        // One that has left its set cannot return.
        changeable: changeable && upstream.state != "removed",
        set: upstream.set,
        name: upstream.name,
        weight: upstream.weight,
        open: upstream.open,
        total: upstream.total,
        failures: upstream.failures,
        state: upstream.state,
        available: upstream.is_available,
        since: upstream.since.as_secs_f64(),
        last_error: upstream.last_error,
    });
    Ok(views)
}

pub(super) fn list(admin: &Admin) -> Result<AdminResponse, Problem> {
    Ok(response::ok(&views(admin)?.collect::<Vec<_>>()))
}

/// Changes an upstream, and shows it.
pub(super) fn act(
    admin: &Admin,
    set: &str,
    name: &str,
    action: UpstreamAction,
    body: &[u8],
) -> Result<AdminResponse, Problem> {
    let Some(change) = &admin.settings.change_upstream else {
        return Err(Problem::not_found("this server has no upstreams to change"));
    };
    let none = || Problem::not_found(format!("there is no upstream {name:?} of {set:?}"));
    let what = match action {
        UpstreamAction::Drain => UpstreamChange::Drain,
        UpstreamAction::Resume => UpstreamChange::Resume,
        UpstreamAction::Weight => {
            let Weight { weight } = body::parse(body)?;
            UpstreamChange::SetWeight(weight)
        }
    };
    if !change(set, name, what) {
        return Err(none());
    }
    let view = views(admin)?.find(|view| view.set == set && view.name == name);
    Ok(response::ok(&view.ok_or_else(none)?))
}
