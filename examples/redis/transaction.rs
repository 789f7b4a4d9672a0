//! Transactions: `MULTI`, its queued commands, and the keys watched by `WATCH`.

use super::{
    commands::{Commands, Result, Server},
    resp::{Reply, Request},
    store::Key,
};
use std::collections::HashMap;

/// The commands queued by a client since `MULTI`.
#[derive(Debug, Default)]
pub struct Transaction {
    requests: Vec<Request>,
    /// Set if a command was refused, in which case none is executed.
    is_spoiled: bool,
}

/// The watched keys of a client, with their databases and versions.
#[derive(Debug, Default)]
pub struct Watched(HashMap<(usize, Key), Option<u64>>);

impl Watched {
    /// Adds a key, unless it is already watched.
    pub(super) fn add(&mut self, database: usize, key: &[u8], version: Option<u64>) {
        self.0.entry((database, key.into())).or_insert(version);
    }

    /// Returns whether a key was set, removed or expired since it was added.
    fn has_changed(&self, server: &Server) -> bool {
        self.0
            .iter()
            .any(|((database, key), version)| server.store(*database).version(key) != *version)
    }
}

impl Commands {
    /// Queues a command of a transaction. Returns `None` if there is no transaction or the command
    /// ends it.
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
            // Their confirmations are pushed, so they cannot be part of the reply to `EXEC`.
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

    /// Marks the transaction as failed, and returns the error.
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
