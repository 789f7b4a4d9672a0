//! Transactions: `MULTI`, what it queues, and the keys that `WATCH` looks at.

use super::{
    commands::{Commands, Result, Server},
    resp::{Reply, Request},
    store::Key,
};
use std::collections::HashMap;

/// What a client has queued since it said `MULTI`.
#[derive(Debug, Default)]
pub struct Transaction {
    requests: Vec<Request>,
    /// One of them was refused, so none is to be run.
    is_spoiled: bool,
}

/// The keys that a client watches, each with its database and the version that it had.
#[derive(Debug, Default)]
pub struct Watched(HashMap<(usize, Key), Option<u64>>);

impl Watched {
    /// Adds a key, unless it is watched already.
    pub(super) fn add(&mut self, database: usize, key: &[u8], version: Option<u64>) {
        self.0.entry((database, key.into())).or_insert(version);
    }

    /// Whether a key was set or removed or has expired since it was added.
    fn has_changed(&self, server: &Server) -> bool {
        self.0
            .iter()
            .any(|((database, key), version)| server.store(*database).version(key) != *version)
    }
}

impl Commands {
    /// Queues a command of a transaction; `None` where there is none or the command ends it.
    pub(super) fn queue(&mut self, name: &[u8], request: &Request) -> Option<Result> {
        let transaction = self.transaction.as_mut()?;
        match name {
            b"EXEC" | b"QUIT" | b"RESET" => None,
            b"DISCARD" => {
                self.transaction = None;
                self.watched = Watched::default();
                Some(Ok(Reply::Ok))
            }
            b"WATCH" => Some(Err(Reply::error("ERR WATCH inside MULTI is not allowed"))),
            b"MULTI" => Some(Err(Reply::error("ERR MULTI calls can not be nested"))),
            // Their confirmations are pushed, and so cannot stand among the replies.
            b"SUBSCRIBE" | b"PSUBSCRIBE" | b"UNSUBSCRIBE" | b"PUNSUBSCRIBE" => {
                transaction.is_spoiled = true;
                Some(Err(Reply::error(
                    "ERR Command not allowed inside a transaction",
                )))
            }
            _ => {
                transaction.requests.push(request.clone());
                Some(Ok(Reply::Simple("QUEUED")))
            }
        }
    }

    /// Hands on the error of a command, after which a transaction is not run.
    pub(super) fn spoiled(&mut self, error: Reply) -> Reply {
        if let Some(transaction) = &mut self.transaction {
            transaction.is_spoiled = true;
        }
        error
    }

    pub(super) fn exec(&mut self) -> Result {
        let Some(transaction) = self.transaction.take() else {
            return Err(Reply::error("ERR EXEC without MULTI"));
        };
        let watched = std::mem::take(&mut self.watched);
        if transaction.is_spoiled {
            return Err(Reply::error(
                "EXECABORT Transaction discarded because of previous errors.",
            ));
        }
        let server = self.server.clone();
        let _alone = server.transaction.write();
        if watched.has_changed(&server) {
            return Ok(Reply::NullArray);
        }
        let replies = transaction.requests.iter().map(|request| {
            let name = request.arg(0).to_ascii_uppercase();
            self.run_one(&name, request).unwrap_or_else(|error| error)
        });
        Ok(Reply::Array(replies.collect()))
    }
}
