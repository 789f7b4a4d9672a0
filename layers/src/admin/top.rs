//! The clients with the most connections, bytes and refusals.

use super::{
    Problem, query,
    response::{self, AdminResponse},
};
use crate::top::{TopBy, TopClient, TopClients};
use reagent::ServerHandle;
use serde::Serialize;

/// The number of clients that are listed, unless the query says otherwise.
const LIMIT: usize = 10;

#[derive(Serialize)]
struct TopView {
    client: String,
    count: u64,
    /// The part of the count that may belong to others.
    error: u64,
}

impl From<TopClient> for TopView {
    fn from(top: TopClient) -> Self {
        TopView {
            client: top.client.to_string(),
            count: top.count,
            error: top.error,
        }
    }
}

/// Lists the first clients, with their open connections.
pub(super) fn list(
    top: Option<&TopClients>,
    server: &ServerHandle,
    query: &str,
) -> Result<AdminResponse, Problem> {
    let top = top.ok_or_else(|| Problem::not_found("this server has no ranking of clients"))?;
    let (mut by, mut limit) = (TopBy::Connections, LIMIT);
    query::each(query, |key, value| {
        let invalid = |expected: &str| query::invalid(key, value, expected);
        match key {
            "by" => {
                let known = TopBy::ALL.into_iter().find(|by| by.as_str() == value);
                by = known.ok_or_else(|| invalid("connections, bytes or refusals"))?;
            }
            "limit" => limit = query::limit(key, value)?,
            _ => return Err(query::unknown(key)),
        }
        Ok(())
    })?;
    top.refresh(server);
    let views = top.by(by, limit).into_iter().map(TopView::from);
    Ok(response::ok(&views.collect::<Vec<_>>()))
}
