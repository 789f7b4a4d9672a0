//! The queries of requests, above all that of `/connections`.

use super::{Problem, rank::Rank};
use crate::net::Network;
use reagent::ConnectionHandle;

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
    /// Those that move the most bytes per second first.
    Rate,
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
        each(query, |key, value| {
            let invalid = |expected: &str| invalid(key, value, expected);
            match key {
                "sort" => {
                    parsed.sort = match value {
                        "age" => Sort::Age,
                        "bytes" => Sort::Bytes,
                        "idle" => Sort::Idle,
                        "rate" => Sort::Rate,
                        _ => return Err(invalid("age, bytes, idle or rate")),
                    }
                }
                "client" => {
                    let network = value.parse().map_err(Problem::bad_request)?;
                    parsed.client = Some(network);
                }
                "limit" => parsed.limit = limit(key, value)?,
                "after" => {
                    let rank = value.parse().map_err(|()| {
                        invalid("the value from the `link` header of the previous page")
                    })?;
                    parsed.after = Some(rank);
                }
                _ => return Err(unknown(key)),
            }
            Ok(())
        })?;
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
            Sort::Rate => "rate",
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

/// Calls `read` with each key and value of a query, which may have each key once.
pub(super) fn each(
    query: &str,
    mut read: impl FnMut(&str, &str) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let mut seen = Vec::new();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        read(&key, &value)?;
        if seen.contains(&key) {
            return Err(Problem::bad_request(format!("{key} is given twice")));
        }
        seen.push(key);
    }
    Ok(())
}

/// Reads the number of items to list.
pub(super) fn limit(key: &str, value: &str) -> Result<usize, Problem> {
    let limit = value.parse().ok();
    let limit = limit.filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| invalid(key, value, &format!("a number from 1 to {MAX_LIMIT}")))
}

pub(super) fn invalid(key: &str, value: &str, expected: &str) -> Problem {
    Problem::bad_request(format!("invalid {key} {value:?}: expected {expected}"))
}

/// Refuses any query.
pub(super) fn refuse(query: &str) -> Result<(), Problem> {
    match form_urlencoded::parse(query.as_bytes()).next() {
        Some((key, _)) => Err(unknown(&key)),
        None => Ok(()),
    }
}

pub(super) fn unknown(key: &str) -> Problem {
    Problem::bad_request(format!("unknown query key {key:?}"))
}
