//! The upstreams of a proxy.

use super::{
    Problem,
    response::{self, AdminResponse},
};
use serde::Serialize;
use std::time::Duration;

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
}

pub(super) fn list(upstreams: Option<Vec<UpstreamInfo>>) -> Result<AdminResponse, Problem> {
    let Some(upstreams) = upstreams else {
        return Err(Problem::not_found("this server has no upstreams"));
    };
    let views = upstreams.into_iter().map(|upstream| UpstreamView {
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
    Ok(response::ok(&views.collect::<Vec<_>>()))
}
