//! The query of `/connections`.

use super::{Problem, rank::Rank};
use crate::net::Network;
use reagent::ConnectionHandle;
use std::fmt::Display;

/// The number of connections on a page, unless the query says otherwise, and at most.
const LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// The order of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Sort {
    /// The oldest first.
    #[default]
    Age,
    /// Those with the most bytes first.
    Bytes,
    /// Those that have been idle the longest first.
    Idle,
}

/// The connections to list, and their order.
#[derive(Debug)]
pub(super) struct ConnectionQuery {
    pub(super) sort: Sort,
    pub(super) client: Option<Network>,
    pub(super) limit: usize,
    pub(super) after: Option<Rank>,
}

impl ConnectionQuery {
    pub(super) fn parse(query: &str) -> Result<Self, Problem> {
        let mut parsed = ConnectionQuery {
            sort: Sort::default(),
            client: None,
            limit: LIMIT,
            after: None,
        };
        let mut seen = Vec::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let invalid = |expected: &dyn Display| {
                Problem::bad_request(format!("invalid {key} {value:?}: expected {expected}"))
            };
            match &*key {
                "sort" => {
                    parsed.sort = match &*value {
                        "age" => Sort::Age,
                        "bytes" => Sort::Bytes,
                        "idle" => Sort::Idle,
                        _ => return Err(invalid(&"age, bytes or idle")),
                    }
                }
                "client" => {
                    let network = value.parse().map_err(Problem::bad_request)?;
                    parsed.client = Some(network);
                }
                "limit" => {
                    let limit = value.parse().ok();
                    let limit = limit.filter(|limit| (1..=MAX_LIMIT).contains(limit));
                    let expected = format!("a number from 1 to {MAX_LIMIT}");
                    parsed.limit = limit.ok_or_else(|| invalid(&expected))?;
                }
                "after" => {
                    let rank = value.parse().map_err(|()| {
                        invalid(&"the value from the `link` header of the previous page")
                    })?;
                    parsed.after = Some(rank);
                }
                _ => return Err(unknown(&key)),
            }
            if seen.contains(&key) {
                return Err(Problem::bad_request(format!("{key} is given twice")));
            }
            seen.push(key);
        }
        Ok(parsed)
    }

    /// Returns whether the query selects the connection.
    pub(super) fn wants(&self, connection: &ConnectionHandle) -> bool {
        let Some(network) = self.client else {
            return true;
        };
        let ip = connection.peer_addr().ip();
        ip.is_some_and(|ip| network.contains(ip))
    }

    /// Returns the query of the page that begins after `last`.
    pub(super) fn next(&self, last: Rank) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let sort = match self.sort {
            Sort::Age => "age",
            Sort::Bytes => "bytes",
            Sort::Idle => "idle",
        };
        query.append_pair("sort", sort);
        if let Some(network) = self.client {
            query.append_pair("client", &network.to_string());
        }
        query.append_pair("limit", &self.limit.to_string());
        query.append_pair("after", &last.to_string());
        query.finish()
    }
}

/// Refuses any query.
pub(super) fn refuse(query: &str) -> Result<(), Problem> {
    match form_urlencoded::parse(query.as_bytes()).next() {
        Some((key, _)) => Err(unknown(&key)),
        None => Ok(()),
    }
}

fn unknown(key: &str) -> Problem {
    Problem::bad_request(format!("unknown query key {key:?}"))
}
