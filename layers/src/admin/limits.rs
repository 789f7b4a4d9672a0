//! The limits that can be changed while the server runs.

use super::{
    Problem,
    response::{self, AdminResponse},
};
use http::StatusCode;
use reagent::{BoxError, ServerHandle};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The limit that every server has.
const MAX_CONNECTIONS: &str = "max-connections";

type Get = Arc<dyn Fn() -> Option<u64> + Send + Sync>;
type Set = Arc<dyn Fn(Option<u64>) -> Result<(), BoxError> + Send + Sync>;

#[derive(Clone)]
struct Limit {
    unit: Arc<str>,
    get: Get,
    set: Set,
}

/// The limits that the program added, by name.
#[derive(Default)]
pub(super) struct Limits(Mutex<BTreeMap<String, Limit>>);

#[derive(Serialize)]
struct LimitView<'a> {
    name: &'a str,
    max: Option<u64>,
    unit: &'a str,
    /// The number in use, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// The attribute makes the field required, so that only an explicit `null` lifts the limit.
    #[serde(deserialize_with = "Option::deserialize")]
    max: Option<u64>,
}

impl Limits {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Limit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, name: &str, unit: &str, get: Get, set: Set) {
        let unit = unit.into();
        let limit = Limit { unit, get, set };
        let old = self.lock().insert(name.to_owned(), limit);
        drop(old);
    }

    pub(super) fn remove(&self, name: &str) -> bool {
        let old = self.lock().remove(name);
        old.is_some()
    }

    pub(super) fn list(&self, server: &ServerHandle) -> AdminResponse {
        // User code does not run under the lock.
        let limits = self.lock().clone();
        let own = max_connections(server);
        let others = limits.iter().map(|(name, limit)| LimitView {
            name,
            max: (limit.get)(),
            unit: &limit.unit,
            used: None,
        });
        response::ok(&std::iter::once(own).chain(others).collect::<Vec<_>>())
    }

    pub(super) fn show(&self, server: &ServerHandle, name: &str) -> Result<AdminResponse, Problem> {
        if name == MAX_CONNECTIONS {
            return Ok(response::ok(&max_connections(server)));
        }
        let limit = self.find(name)?;
        Ok(response::ok(&LimitView {
            name,
            max: (limit.get)(),
            unit: &limit.unit,
            used: None,
        }))
    }

    pub(super) fn change(
        &self,
        server: &ServerHandle,
        name: &str,
        body: &[u8],
    ) -> Result<AdminResponse, Problem> {
        if name == MAX_CONNECTIONS {
            let Change { max } = super::body::parse(body)?;
            let max = max.map(|max| usize::try_from(max).unwrap_or(usize::MAX));
            server.set_max_connections(max);
        } else {
            let limit = self.find(name)?;
            let Change { max } = super::body::parse(body)?;
            (limit.set)(max)
                .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error))?;
        }
        self.show(server, name)
    }

    fn find(&self, name: &str) -> Result<Limit, Problem> {
        let limit = self.lock().get(name).cloned();
        limit.ok_or_else(|| Problem::not_found(format!("there is no limit {name:?}")))
    }
}

fn max_connections(server: &ServerHandle) -> LimitView<'static> {
    let stats = server.stats();
    LimitView {
        name: MAX_CONNECTIONS,
        max: stats.max_connections.map(|max| max as u64),
        unit: "connections",
        used: Some(stats.open),
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}
