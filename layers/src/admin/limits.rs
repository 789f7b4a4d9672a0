//! The limits that can be changed while the server runs.

use super::{
    Problem, body,
    response::{self, AdminResponse},
};
use http::StatusCode;
use reagent::{BoxError, ServerHandle};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The limit that every server has.
const MAX_CONNECTIONS: &str = "max-connections";

/// A limit that can be read and changed.
#[derive(Clone)]
pub(super) struct Limit {
    pub(super) unit: String,
    pub(super) get: Arc<dyn Fn() -> Option<u64> + Send + Sync>,
    pub(super) set: Arc<dyn Fn(Option<u64>) -> Result<(), BoxError> + Send + Sync>,
}

/// The limits that the program added, by name.
#[derive(Default)]
pub(super) struct Limits(Mutex<BTreeMap<String, Limit>>);

#[derive(Serialize)]
struct LimitView {
    name: String,
    max: Option<u64>,
    unit: String,
    /// The number in use, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<usize>,
}

impl LimitView {
    fn new(server: &ServerHandle, name: String, limit: &Limit) -> Self {
        let used = (name == MAX_CONNECTIONS).then(|| server.connection_count());
        LimitView {
            name,
            max: (limit.get)(),
            unit: limit.unit.clone(),
            used,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// The attribute makes the field required, so that only an explicit `null` lifts the limit.
    #[serde(deserialize_with = "number")]
    max: Option<u64>,
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let expected = "`max` must be a whole number of at least 0, or null";
    Option::deserialize(deserializer).map_err(|_| de::Error::custom(expected))
}

impl Limits {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Limit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, name: &str, limit: Limit) {
        let old = self.lock().insert(name.to_owned(), limit);
        drop(old);
    }

    pub(super) fn remove(&self, name: &str) -> bool {
        let old = self.lock().remove(name);
        old.is_some()
    }

    /// Returns all limits. Their functions are user code, which must not run under the lock.
    fn all(&self, server: &ServerHandle) -> BTreeMap<String, Limit> {
        let mut limits = self.lock().clone();
        limits
            .entry(MAX_CONNECTIONS.to_owned())
            .or_insert_with(|| max_connections(server));
        limits
    }

    fn find(&self, server: &ServerHandle, name: &str) -> Result<Limit, Problem> {
        let limit = self.all(server).remove(name);
        limit.ok_or_else(|| Problem::not_found(format!("there is no limit {name:?}")))
    }

    pub(super) fn list(&self, server: &ServerHandle) -> AdminResponse {
        let limits = self.all(server).into_iter();
        let views = limits.map(|(name, limit)| LimitView::new(server, name, &limit));
        response::ok(&views.collect::<Vec<_>>())
    }

    pub(super) fn show(&self, server: &ServerHandle, name: &str) -> Result<AdminResponse, Problem> {
        let limit = self.find(server, name)?;
        Ok(response::ok(&LimitView::new(
            server,
            name.to_owned(),
            &limit,
        )))
    }

    pub(super) fn change(
        &self,
        server: &ServerHandle,
        name: &str,
        body: &[u8],
    ) -> Result<AdminResponse, Problem> {
        let limit = self.find(server, name)?;
        let Change { max } = body::parse(body)?;
        let refused = |error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error);
        (limit.set)(max).map_err(refused)?;
        self.show(server, name)
    }
}

/// Returns the limit of the server itself.
fn max_connections(server: &ServerHandle) -> Limit {
    let (get, set) = (server.clone(), server.clone());
    Limit {
        unit: "connections".into(),
        get: Arc::new(move || get.stats().max_connections.map(|max| max as u64)),
        set: Arc::new(move |max| {
            set.set_max_connections(max.map(usize::try_from).transpose()?);
            Ok(())
        }),
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}
