//! The record of every attempt to change something.

use super::{Problem, response::AdminResponse};
use crate::http::HttpConnection;
use http::request::Parts;

/// The target of the events.
const TARGET: &str = "reagent_layers::admin";

/// A write, as it was asked for. It has no header, query or body, which may be secret.
pub(super) struct Audit {
    method: String,
    path: String,
    client: Option<String>,
    connection: Option<u64>,
}

impl Audit {
    pub(super) fn new(request: &Parts) -> Self {
        let connection = request.extensions.get::<HttpConnection>();
        let handle = connection.map(HttpConnection::handle);
        Audit {
            method: request.method.to_string(),
            path: request.uri.path().to_owned(),
            client: handle.map(|handle| handle.peer_addr().to_string()),
            connection: handle.map(reagent::ConnectionHandle::id),
        }
    }

    /// Records the result.
    pub(super) fn record(self, answer: &Result<AdminResponse, Problem>, by_token: bool) {
        let Audit {
            method,
            path,
            client,
            connection,
        } = self;
        // What comes from a client is quoted.
        match answer {
            Ok(response) => tracing::info!(
                target: TARGET,
                parent: None,
                client,
                connection.id = connection,
                by_token,
                method,
                path = ?path,
                status = response.status().as_u16(),
                result = %String::from_utf8_lossy(response.body()),
                "admin write"
            ),
            Err(problem) => tracing::warn!(
                target: TARGET,
                parent: None,
                client,
                connection.id = connection,
                by_token,
                method,
                path = ?path,
                status = problem.status.as_u16(),
                error = ?problem.message,
                "admin write refused"
            ),
        }
    }
}
